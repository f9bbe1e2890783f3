"""No-op jobs per second, from their creation to their result, beside Celery and procrastinate.

All run in turns on the same machine: Celery on Redis, procrastinate on PostgreSQL with fsync,
distconv on the same PostgreSQL and on SQLite. The references get the worker setting that is
fastest here. distconv verifies, keeps and reports as it does in production; only storage is
replaced by a port in memory (`benchmarks/load/dispatch.py`), because a queue moves no media.
"""

import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.load.control_plane import TENANT, ControlPlane, control_plane
from benchmarks.load.run import Run
from benchmarks.references.systems import Reference, best_setting, celery, procrastinate
from benchmarks.result import Result
from benchmarks.servers import postgresql_server, redis_server

COUNT = int(os.environ.get("DISTCONV_BENCH_JOBS", "2000"))
ROUNDS = int(os.environ.get("DISTCONV_BENCH_ROUNDS", "3"))
BATCH_COUNT = 20_000
ENGINES = 8
SLOTS = 16
CONCURRENCY = 32
CELERY_BAR = 1.5
PROCRASTINATE_BAR = 2.0
BATCH_BAR = 5_000.0


def run() -> Iterator[Result]:
    """Yield the rates beside the references', and the rates of creating in batches."""
    with (
        tempfile.TemporaryDirectory(prefix="distconv-bench-") as name,
        redis_server() as redis,
        postgresql_server() as postgresql,
    ):
        folder = Path(name)
        references = [
            celery(redis.url, redis.pid),
            procrastinate(postgresql.new_database(), postgresql.pid),
        ]
        chosen: dict[str, str] = {}
        tried: dict[str, dict[str, float]] = {}
        for reference in references:
            best = best_setting(reference, folder, count=max(COUNT // 4, 100))
            chosen[reference.name], tried[reference.name] = best
            print(f"{reference.name}: {tried[reference.name]}, jobs/s", file=sys.stderr)
        runs: dict[str, list[Run]] = {}
        for _ in range(ROUNDS):
            for reference in references:
                measured = _reference(reference, chosen[reference.name], folder)
                runs.setdefault(reference.name, []).append(measured)
            for database, url in (("postgresql", postgresql.new_database()), ("sqlite", "")):
                pid = postgresql.pid if url else 0
                runs.setdefault(database, []).append(_distconv(folder, url, pid))
            _tell({name: measured[-1] for name, measured in runs.items()})
        yield from _ratios(runs, {"settings": chosen, "settings_tried": tried})
        for database, url in (("postgresql", postgresql.new_database()), ("sqlite", "")):
            yield _batch(folder, database, url)


def _reference(reference: Reference, setting: str, folder: Path) -> Run:
    with reference.running(setting, folder) as system:
        system.run(max(COUNT // 4, 100))
        return system.run(COUNT)


def _distconv(folder: Path, url: str, server_pid: int) -> Run:
    with _plane(folder, url, server_pid) as plane:
        plane.start_engines(ENGINES, slots=SLOTS)
        plane.run(max(COUNT // 4, 100), concurrency=CONCURRENCY)
        return plane.run(COUNT, concurrency=CONCURRENCY)


@contextlib.contextmanager
def _plane(folder: Path, url: str, server_pid: int) -> Iterator[ControlPlane]:
    with (
        tempfile.TemporaryDirectory(dir=folder) as own,
        control_plane(Path(own), database_url=url, server_pid=server_pid) as plane,
    ):
        yield plane


def _tell(last: Mapping[str, Run]) -> None:
    for name, measured in last.items():
        print(f"{name}: {measured.rate:.0f} jobs/s, {measured.cpu_ms_per_job} ms", file=sys.stderr)


def _ratios(runs: Mapping[str, Sequence[Run]], details: Mapping[str, object]) -> Iterator[Result]:
    for database, reference, bar in (
        ("postgresql", "celery", CELERY_BAR),
        ("postgresql", "procrastinate", PROCRASTINATE_BAR),
        ("sqlite", "celery", CELERY_BAR),
        ("sqlite", "procrastinate", PROCRASTINATE_BAR),
    ):
        ours, theirs = runs[database], runs[reference]
        ratios = [o.rate / t.rate for o, t in zip(ours, theirs, strict=True)]
        middle = statistics.median(t.rate for t in theirs)
        yield Result(
            name=f"dispatch-{database}-{reference}",
            # The median ratio of neighbours: a noisy minute spoils one pair, not the figure.
            value=statistics.median(ratios) * middle,
            unit="jobs/s",
            reference=middle,
            bar=bar,
            bar_on_ratio=True,
            higher_is_better=True,
            details={
                "ratios": ratios,
                "values": [o.rate for o in ours],
                "references": [t.rate for t in theirs],
                "cpu_ms_per_job": [o.cpu_ms_per_job for o in ours],
                "reference_cpu_ms_per_job": [t.cpu_ms_per_job for t in theirs],
                "jobs": COUNT,
                "engines": ENGINES,
                "slots": SLOTS,
                "calls_at_a_time": CONCURRENCY,
                "storage": "a port in memory",
                **details,
            },
        )


def _batch(folder: Path, database: str, url: str) -> Result:
    values = []
    with _plane(folder, url, 0) as plane:
        for _ in range(ROUNDS):
            plane.client.tell(do="batch", count=BATCH_COUNT, tenants=[TENANT])
            values.append(BATCH_COUNT / plane.client.expect("created", timeout_s=600)["took_s"])
    return Result(
        name=f"dispatch-{database}-batch",
        value=statistics.median(values),
        unit="jobs/s",
        reference=BATCH_BAR,
        bar=BATCH_BAR,
        bar_on_ratio=False,
        higher_is_better=True,
        details={"values": values, "jobs": BATCH_COUNT, "reference_is": "the bar"},
    )
