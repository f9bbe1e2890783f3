"""A thousand engine sessions on one dispatch, heartbeating every 5 s, while jobs flow."""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load.control_plane import ControlPlane, control_plane
from benchmarks.load.percentile import percentile
from benchmarks.result import Result
from benchmarks.servers import postgresql_server

SESSIONS = int(os.environ.get("DISTCONV_BENCH_SESSIONS", "1000"))
PROCESSES = 2
SLOTS = 2
HOLD_S = (10.0, 30.0)
RATE_PER_S = 20.0
SETTLE_S = 10.0
DURATION_S = 60.0
LATE_S = 30.0
CPU_BAR_CORES = 1.0
P99_BAR_MS = 250.0
MEMORY_BAR_KIB = 512.0
_KIB = 1024


def run() -> Iterator[Result]:
    """Yield the processor share of dispatch, the p99 of assigning, the memory of a session."""
    with (
        tempfile.TemporaryDirectory(prefix="distconv-bench-") as name,
        postgresql_server() as server,
    ):
        folder = Path(name)
        plane = control_plane(folder, database_url=server.new_database(), server_pid=server.pid)
        with plane as running:
            yield from _measure(running)


def _measure(plane: ControlPlane) -> Iterator[Result]:
    # What the first jobs load once is no cost of a session.
    plane.start_engines(1, slots=1)
    plane.run(20, concurrency=4)
    before = plane.dispatch.process.memory_info().rss
    for _ in range(PROCESSES):
        plane.start_engines(SESSIONS // PROCESSES, slots=SLOTS, hold_s=HOLD_S)
    time.sleep(SETTLE_S)
    after = plane.dispatch.process.memory_info().rss
    plane.assigned()
    idle_cores = _idle(plane)
    start, meter = time.monotonic(), plane.meter()
    created = plane.create(
        int(RATE_PER_S * DURATION_S), concurrency=32, tenants=["a", "b", "c", "d"], rate=RATE_PER_S
    )
    cpu_s, took_s = meter.stop(), time.monotonic() - start
    first = _first_assigned(plane, {job for job, _, _, _ in created})
    waits = [(first[job] - sent) * 1000 for job, _, sent, _ in created if job in first]
    details = {
        "sessions": SESSIONS,
        "heartbeat_interval_s": 5,
        "jobs_per_s": RATE_PER_S,
        "hold_s": HOLD_S,
        "assigned": len(waits),
        "created": len(created),
        "cores": {name: value / took_s for name, value in cpu_s.items()},
        "idle_cores": idle_cores,
        "assign_ms": {
            "median": statistics.median(waits),
            "p99": percentile(waits, 99),
            "max": max(waits),
        },
        "memory_mib": {"without": before / _KIB / _KIB, "with": after / _KIB / _KIB},
    }
    if len(waits) < 0.99 * len(created):
        raise RuntimeError(f"only {len(waits)} of {len(created)} jobs were assigned")
    yield _result("fleet-cpu", cpu_s["dispatch"] / took_s, "cores", CPU_BAR_CORES, details)
    yield _result("fleet-assign-p99", percentile(waits, 99), "ms", P99_BAR_MS, details)
    yield _result(
        "fleet-memory", (after - before) / SESSIONS / _KIB, "KiB/session", MEMORY_BAR_KIB, details
    )


def _first_assigned(plane: ControlPlane, jobs: set[str]) -> dict[str, float]:
    """Return when each job was first given to an engine; give the last a while."""
    first: dict[str, float] = {}
    end = time.monotonic() + LATE_S
    while True:
        for given in plane.assigned():
            first[given.job] = min(given.assigned_at, first.get(given.job, given.assigned_at))
        if jobs <= first.keys() or time.monotonic() > end:
            return first
        time.sleep(0.5)


def _idle(plane: ControlPlane) -> float:
    """Return the processor share of dispatch with heartbeats alone, cores."""
    start, meter = time.monotonic(), plane.meter()
    time.sleep(15)
    return meter.stop()["dispatch"] / (time.monotonic() - start)


def _result(name: str, value: float, unit: str, bar: float, details: dict[str, object]) -> Result:
    return Result(
        name=name,
        value=value,
        unit=unit,
        reference=bar,
        bar=bar,
        bar_on_ratio=False,
        details={"reference_is": "the bar", **details},
    )
