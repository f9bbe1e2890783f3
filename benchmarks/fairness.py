"""Shares of tenants with weights 1:2:4 under saturation, and a newcomer behind a long backlog."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.load.control_plane import ControlPlane, control_plane
from benchmarks.result import Result
from benchmarks.servers import postgresql_server

WEIGHTS = {"one": 1.0, "two": 2.0, "four": 4.0}
JOBS_PER_TENANT = 1_000
BACKLOG = int(os.environ.get("DISTCONV_BENCH_BACKLOG", "100000"))
ENGINES = 8
HOLD_S = (0.02, 0.04)
SHARE_BAR = 0.05
# At once means: in the next slot that comes free. An attempt takes as long, seconds; one of eight
# is over long before, unless all began together.
NEWCOMER_HOLD_S = (1.0, 2.0)
NEWCOMER_BAR_S = 2.0


def run() -> Iterator[Result]:
    """Yield the largest deviation of a share, and how long the newcomer waited."""
    with (
        tempfile.TemporaryDirectory(prefix="distconv-bench-") as name,
        postgresql_server() as server,
    ):
        weights = ",".join(f"{tenant}={weight:g}" for tenant, weight in WEIGHTS.items())
        for what, measure in (("shares", _shares), ("newcomer", _newcomer)):
            folder = Path(name) / what
            folder.mkdir()
            with control_plane(
                folder,
                database_url=server.new_database(),
                server_pid=server.pid,
                env={"DISTCONV_DISPATCH_TENANT_WEIGHTS": weights},
            ) as plane:
                yield measure(plane)


def _shares(plane: ControlPlane) -> Result:
    """Give every tenant a backlog, and count who is served while all of them have one."""
    _probe(plane, tuple(WEIGHTS))
    owner: dict[str, str] = {}
    for tenant in WEIGHTS:
        rows = plane.create(JOBS_PER_TENANT, concurrency=32, tenants=[tenant])
        owner |= {job: who for job, who, _, _ in rows}
    plane.start_engines(ENGINES, slots=1, hold_s=HOLD_S)
    plane.finish()
    order = sorted(plane.assigned(), key=lambda a: a.assigned_at)
    served: Counter[str] = Counter()
    for given in order:
        if given.kind != "transcode" or given.job not in owner:
            continue
        served[owner[given.job]] += 1
        if max(served.values()) >= JOBS_PER_TENANT * 0.95:
            break  # one has nothing left soon: from here on shares mean nothing
    total, weight = served.total(), sum(WEIGHTS.values())
    shares = {tenant: served[tenant] / total for tenant in WEIGHTS}
    wanted = {tenant: value / weight for tenant, value in WEIGHTS.items()}
    off = {tenant: abs(shares[tenant] / wanted[tenant] - 1) for tenant in WEIGHTS}
    return Result(
        name="fairness-shares",
        value=max(off.values()),
        unit="deviation",
        reference=SHARE_BAR,
        bar=SHARE_BAR,
        bar_on_ratio=False,
        details={"shares": shares, "wanted": wanted, "served": dict(served), "deviation": off},
    )


def _newcomer(plane: ControlPlane) -> Result:
    """Put one tenant's jobs in the queue by the ten thousand, and one of another's behind them."""
    _probe(plane, ("crowd", "newcomer"))
    plane.client.tell(do="batch", count=BACKLOG, tenants=["crowd"])
    took_s = plane.client.expect("created", timeout_s=1200)["took_s"]
    plane.start_engines(ENGINES, slots=1, hold_s=NEWCOMER_HOLD_S)
    waits = []
    for _ in range(5):
        ((job, _, sent, _),) = plane.create(1, concurrency=1, tenants=["newcomer"])
        waits.append(_first_assigned(plane, job) - sent)
    slot_s = sum(NEWCOMER_HOLD_S) / 2 / ENGINES
    return Result(
        name="fairness-newcomer",
        value=max(waits),
        unit="s",
        reference=BACKLOG * slot_s,
        bar=NEWCOMER_BAR_S,
        bar_on_ratio=False,
        details={
            "values": waits,
            "reference_is": "the time that the backlog takes, which is when first come, first "
            "served would begin with the newcomer's",
            "backlog": BACKLOG,
            "backlog_created_s": took_s,
            "mean_time_between_free_slots_s": slot_s,
        },
    )


def _probe(plane: ControlPlane, tenants: Sequence[str]) -> None:
    """Have one job of each done, so that the sources of the rest are known."""
    plane.start_engines(1, slots=4)
    plane.create(len(tenants), concurrency=len(tenants), tenants=tenants)
    plane.finish()
    plane.assigned()
    plane.stop_engines()


def _first_assigned(plane: ControlPlane, job: str) -> float:
    while True:
        for given in plane.wait_assigned():
            if given.job == job:
                return given.assigned_at
