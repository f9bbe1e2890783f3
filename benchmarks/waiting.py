"""Time to assign with 1,000, 100,000 and 1,000,000 pending jobs of 100 tenants, on PostgreSQL.

Seen from an engine: from the instant at which it hands in a result, which frees its slot, until
its next assignment arrives. So the figure holds all of it: the result's own transaction, the
scheduler's pass, the claim's commit and the message. The sizes take turns; jobs come meanwhile.
"""

import asyncio
import contextlib
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.listing import GROWTH_BAR, listings
from benchmarks.load.backlog import Backlog, fill
from benchmarks.load.control_plane import Assigned, ControlPlane, control_plane
from benchmarks.load.percentile import percentile
from benchmarks.result import Result
from benchmarks.servers import PostgresqlServer, postgresql_server

SIZES = tuple(
    int(word) for word in os.environ.get("DISTCONV_BENCH_SIZES", "1000,100000,1000000").split(",")
)
ROUNDS = int(os.environ.get("DISTCONV_BENCH_ROUNDS", "5"))
ROUND_S = 12.0
ENGINES = 8
HOLD_S = (0.1, 0.3)
ARRIVALS_PER_S = 10.0
P99_BAR_MS = 50.0
_PROFILES = ("h264-480p", "h264-720p", "hevc-1080p", "av1-1080p")
_TEMPLATES = "templates"


def run() -> Iterator[Result]:
    """Yield the p99 of the largest queue, its growth over the smallest, and the listings."""
    with (
        tempfile.TemporaryDirectory(prefix="distconv-bench-") as name,
        postgresql_server() as postgresql,
        contextlib.ExitStack() as stack,
    ):
        planes: dict[int, ControlPlane] = {}
        for size in SIZES:
            folder = Path(name) / str(size)
            folder.mkdir()
            url = _filled(folder, postgresql, size)
            planes[size] = stack.enter_context(
                control_plane(folder, database_url=url, server_pid=postgresql.pid)
            )
        waits: dict[int, list[list[float]]] = {size: [] for size in SIZES}
        for _ in range(ROUNDS):
            for size, plane in planes.items():
                waits[size].append(_round(plane))
                print(f"{size} pending: {_summary(waits[size][-1])}", file=sys.stderr)
        yield from _assigning(waits)
        yield from listings("queue-list", planes)
        # A tenant that has every row: nothing that is its own narrows what it asks for.
        wholes = {}
        for size in (min(SIZES), max(SIZES)):
            folder = Path(name) / f"{size}-of-one"
            folder.mkdir()
            url = _filled(folder, postgresql, size, tenant_count=1)
            wholes[size] = stack.enter_context(
                control_plane(folder, database_url=url, server_pid=postgresql.pid)
            )
        yield from listings("queue-list-of-one-tenant", wholes)


def _filled(
    folder: Path, postgresql: PostgresqlServer, size: int, *, tenant_count: int = 100
) -> str:
    """Make a database with so many pending jobs and return its URL."""
    url = postgresql.new_database()
    start = time.monotonic()
    with control_plane(folder, database_url=url) as plane:
        # One job is done first: then the source is known, and a job is one task.
        plane.start_engines(1, slots=1)
        plane.create(1, concurrency=1, tenants=[_TEMPLATES])
        plane.finish()
        plane.stop_engines()
        for profile in _PROFILES:
            plane.create(1, concurrency=1, tenants=[_TEMPLATES], profile=f"profiles/{profile}")
    asyncio.run(
        fill(url, Backlog(job_count=size, tenant_count=tenant_count), template_tenant=_TEMPLATES)
    )
    print(f"{size} jobs filled in {time.monotonic() - start:.0f} s", file=sys.stderr)
    return url


def _round(plane: ControlPlane) -> list[float]:
    """Run engines for a while and return how long each slot that came free stood empty, ms."""
    plane.start_engines(ENGINES, slots=1, hold_s=HOLD_S)
    tenants = [Backlog(job_count=0).tenant(number) for number in range(100)]
    plane.create(int(ROUND_S * ARRIVALS_PER_S), concurrency=8, tenants=tenants, rate=ARRIVALS_PER_S)
    assigned = plane.assigned()
    plane.stop_engines()
    # The first second fills caches and the slots for the first time.
    begin = min(a.assigned_at for a in assigned) + 1.0
    return [wait * 1000 for wait, at in _waits(assigned) if at > begin]


def _waits(assigned: Sequence[Assigned]) -> Iterator[tuple[float, float]]:
    key = lambda a: a.engine  # noqa: E731  # the key of a sort and its group
    for _, group in itertools.groupby(
        sorted(assigned, key=lambda a: (a.engine, a.assigned_at)), key
    ):
        for before, after in itertools.pairwise(group):
            if before.sent_at:
                yield after.assigned_at - before.sent_at, before.sent_at


def _summary(waits: Sequence[float]) -> str:
    return (
        f"{len(waits)} assignments, median {statistics.median(waits):.1f} ms, "
        f"p99 {percentile(waits, 99):.1f} ms"
    )


def _assigning(waits: dict[int, list[list[float]]]) -> Iterator[Result]:
    small, large = min(waits), max(waits)
    p99 = {size: percentile(list(itertools.chain(*rounds)), 99) for size, rounds in waits.items()}
    middle = {size: statistics.median(itertools.chain(*rounds)) for size, rounds in waits.items()}
    details = {
        "p99_ms": p99,
        "median_ms": middle,
        "p99_ms_by_round": {
            size: [percentile(one, 99) for one in rounds] for size, rounds in waits.items()
        },
        "median_ms_by_round": {
            size: [statistics.median(one) for one in rounds] for size, rounds in waits.items()
        },
        "assignments": {size: sum(map(len, rounds)) for size, rounds in waits.items()},
        "engines": ENGINES,
        "arrivals_per_s": ARRIVALS_PER_S,
    }
    yield Result(
        name="queue-assign-p99",
        value=max(p99.values()),
        unit="ms",
        reference=p99[small],
        bar=P99_BAR_MS,
        bar_on_ratio=False,
        details=details,
    )
    for what, figures in (("median", middle), ("p99", p99)):
        # Rounds are neighbours in time: the median of their ratios outlives a noisy minute.
        ratios = [
            _of(what, big) / _of(what, little)
            for big, little in zip(waits[large], waits[small], strict=True)
        ]
        yield Result(
            name=f"queue-growth-{what}",
            value=statistics.median(ratios) * figures[small],
            unit="ms",
            reference=figures[small],
            bar=GROWTH_BAR,
            bar_on_ratio=True,
            details={"ratios": ratios, **details},
        )


def _of(what: str, waits: Sequence[float]) -> float:
    return statistics.median(waits) if what == "median" else percentile(waits, 99)
