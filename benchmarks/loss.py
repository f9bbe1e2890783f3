"""An engine is lost: how long until its work runs elsewhere, by default settings.

Lost in two ways: SIGKILL, which closes its connection at once, and SIGSTOP, which is what a
machine looks like whose power or network is gone: the connection stays and nothing comes.
"""

import os
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.load.control_plane import ControlPlane, control_plane
from benchmarks.load.processes import Child
from benchmarks.result import Result
from benchmarks.servers import postgresql_server

ROUNDS = int(os.environ.get("DISTCONV_BENCH_ROUNDS", "5"))
BAR_S = 30.0
# What users of Tdarr report for the same (about 5 minutes).
TDARR_S = 300.0
_WORK_S = (3600.0, 3600.0)


def run() -> Iterator[Result]:
    """Yield the longest time that work stood still, for both ways to be lost."""
    with (
        tempfile.TemporaryDirectory(prefix="distconv-bench-") as name,
        postgresql_server() as server,
    ):
        for what, lose in (("killed", Child.kill), ("silent", _stop)):
            folder = Path(name) / what
            folder.mkdir()
            with control_plane(
                folder, database_url=server.new_database(), server_pid=server.pid
            ) as plane:
                values = [_round(plane, lose) for _ in range(ROUNDS)]
            yield Result(
                name=f"loss-{what}",
                value=max(values),
                unit="s",
                reference=TDARR_S,
                bar=BAR_S,
                bar_on_ratio=False,
                details={
                    "values": values,
                    "median": statistics.median(values),
                    "reference_is": "about what users of Tdarr report",
                },
            )


def _stop(child: Child) -> None:
    child.process.send_signal(signal.SIGSTOP)


def _round(plane: ControlPlane, lose: Callable[[Child], None]) -> float:
    """Have one engine take a job, lose it, and wait for another engine to be given the same."""
    victim = plane.start_engines(1, slots=1, hold_s=_WORK_S)
    ((job, _, _, _),) = plane.create(1, concurrency=1, tenants=["bench"])
    while not any(given.job == job for given in plane.wait_assigned()):
        pass
    # After a heartbeat or two, at a random phase of the interval, as in life.
    time.sleep(random.uniform(5.0, 10.0))  # noqa: S311  # guards nothing
    plane.start_engines(1, slots=1)
    plane.engines.remove(victim)
    lost = time.monotonic()
    lose(victim)
    while True:
        for given in plane.wait_assigned():
            if given.job == job:
                victim.kill()
                plane.finish()
                plane.stop_engines()
                return given.assigned_at - lost
