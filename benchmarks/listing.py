"""How long pages of ListJobs and ListTasks take in queues of different lengths.

Of one of a hundred tenants, and of a tenant that has every row. What is flat costs as much with
a million jobs as with a thousand; what is not is measured beside it, and has no bar.
"""

import statistics
import sys
from collections.abc import Iterator, Mapping

from benchmarks.load.backlog import Backlog
from benchmarks.load.control_plane import ControlPlane
from benchmarks.result import Result

GROWTH_BAR = 1.3
# What every tenant has even in the smallest queue: pages of one length are compared.
_LISTED = 10
_TASKS = "ListTasks"
_FLAT: Mapping[str, Mapping[str, str | int | bool]] = {
    "first page": {},
    "page 5,000 rows deep": {"deep": 5},
    "state": {"filter": "state = PENDING"},
    "state without a match": {"filter": "state = FAILED"},
    "profile": {"filter": "profile = profiles/h264-720p"},
    "oldest first": {"order_by": "create_time"},
    "by priority": {"order_by": "priority desc"},
    "label": {"filter": "labels.title = no-op"},
    "text": {"filter": "text : film"},
    "time": {"filter": "create_time >= 2020-01-01T00:00:00Z"},
    "state and profile": {"filter": "state = PENDING AND profile = profiles/h264-720p"},
    "label and profile": {"filter": "labels.title = no-op AND profile = profiles/h264-720p"},
    "state, by priority": {"filter": "state = PENDING", "order_by": "priority desc"},
    "tasks": {"method": _TASKS},
    "tasks by state": {"method": _TASKS, "filter": "state = READY"},
    "tasks by profile": {"method": _TASKS, "filter": "profile = profiles/h264-720p"},
    "tasks by label": {"method": _TASKS, "filter": "labels.title = no-op"},
    "tasks, oldest first": {"method": _TASKS, "order_by": "create_time"},
}
# A count reads every match; so does an order that no index has together with a rare condition.
_NOT_FLAT: Mapping[str, Mapping[str, str | int | bool]] = {
    "count": {"with_total_size": True},
    "count of a state": {"filter": "state = PENDING", "with_total_size": True},
    "count of tasks": {"method": _TASKS, "with_total_size": True},
    "label and state without a match": {"filter": "labels.title = no-op AND state = FAILED"},
    "profile without a match, by priority": {
        "filter": "profile = profiles/av1-2160p",
        "order_by": "priority desc",
    },
}


def listings(name: str, planes: Mapping[int, ControlPlane]) -> Iterator[Result]:
    """Yield the growth of the flat pages, and the times of the others, by the queues' lengths."""
    flat = {what: _times(planes, what, ask) for what, ask in _FLAT.items()}
    others = {what: _times(planes, what, ask) for what, ask in _NOT_FLAT.items()}
    small, large = min(planes), max(planes)
    grown = {
        what: times[large] / times.get(small, flat["first page"][small])
        for what, times in flat.items()
    }
    worst = max(grown, key=lambda what: grown[what])
    yield Result(
        name=name,
        value=flat[worst][large],
        unit="ms",
        reference=flat[worst].get(small, flat["first page"][small]),
        bar=GROWTH_BAR,
        bar_on_ratio=True,
        details={
            "median_ms": flat,
            "not_flat_median_ms": others,
            "growth": grown,
            "worst": worst,
            "page_size": _LISTED,
        },
    )


def _times(
    planes: Mapping[int, ControlPlane], what: str, ask: Mapping[str, str | int | bool]
) -> dict[int, float]:
    """Return the median time of a page for each queue that has so many rows, ms."""
    tenant = Backlog(job_count=0).tenant(0)
    found = {}
    for size, plane in planes.items():
        if "deep" in ask and size < max(planes):
            continue  # no tenant has so many
        plane.client.tell(do="list", tenants=[tenant], rounds=30, page_size=_LISTED, **ask)
        times = plane.client.expect("listed", timeout_s=300)["times"]
        found[size] = round(statistics.median(times) * 1000, 2)
    print(f"{what}: {found} ms", file=sys.stderr)
    return found
