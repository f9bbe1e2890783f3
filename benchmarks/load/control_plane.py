"""A dispatch process with simulated engines and a client, and runs of no-op jobs through it."""

import contextlib
import itertools
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.load.media import PROFILE
from benchmarks.load.processes import Child, CpuMeter, running
from benchmarks.load.run import Run

TENANT = "bench"
_START_S = 120.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """One assignment as its engine saw it; instants of the machine's monotonic clock, seconds."""

    engine: int
    attempt: str
    kind: str
    assigned_at: float
    sent_at: float
    acked_at: float
    accepted: bool

    @property
    def job(self) -> str:
        """Return the job's name."""
        return self.attempt.partition("/tasks/")[0]


class ControlPlane:
    """A dispatch process that listens, with what loads it."""

    def __init__(self, folder: Path, dispatch: Child, *, server: psutil.Process | None) -> None:
        self.folder = folder
        self.dispatch = dispatch
        self.address = str(dispatch.expect("ready", timeout_s=_START_S)["address"])
        self.engines: list[Child] = []
        self._server = server
        self._stack = contextlib.ExitStack()
        self._numbers = itertools.count()
        self.client = self.start_client()

    def start_client(self) -> Child:
        """Start a client process."""
        log = self.folder / "client.log"
        child = Child.python("benchmarks.load.client", "--address", self.address, log=log)
        self._stack.enter_context(running(child))
        child.expect("ready")
        return child

    def start_engines(
        self, count: int, *, slots: int, hold_s: tuple[float, float] = (0.0, 0.0)
    ) -> Child:
        """Start a process of `count` engines whose attempts take a time from `hold_s`, seconds."""
        first = 1000 * len(self.engines)
        child = Child.python(
            "benchmarks.load.engines",
            *("--address", self.address, "--engines", str(count), "--first", str(first)),
            *("--slots", str(slots)),
            *("--hold-min-s", str(hold_s[0]), "--hold-max-s", str(hold_s[1])),
            log=self.folder / "engines.log",
        )
        self._stack.enter_context(running(child))
        child.expect("ready", timeout_s=_START_S)
        self.engines.append(child)
        return child

    def stop_engines(self) -> None:
        """End the engines; what they held is released by their leases."""
        for engines in self.engines:
            engines.stop()
        self.engines.clear()

    def close(self) -> None:
        """End the engines and clients."""
        self._stack.close()

    def meter(self) -> CpuMeter:
        """Begin to measure the processor time of every process."""
        processes = {"dispatch": self.dispatch.process, "client": self.client.process}
        if self._server is not None:
            processes["server"] = self._server
        for index, engines in enumerate(self.engines):
            processes[f"engines {index}" if index else "engines"] = engines.process
        return CpuMeter(processes)

    def run(self, count: int, *, concurrency: int) -> Run:
        """Push `count` jobs through and read what became of each."""
        meter = self.meter()
        self.client.tell(do="create", count=count, concurrency=concurrency, tenants=[TENANT])
        made = self.client.expect("created", timeout_s=600)
        self.client.tell(do="finish")
        finished = self.client.expect("finished", timeout_s=600)
        if finished["count"] != count:
            raise RuntimeError(f"{finished['count']} of {count} jobs were read")
        return Run(
            count=count,
            took_s=finished["at"] - made["start"],
            cpu_s=meter.stop(),
        )

    def create(
        self,
        count: int,
        *,
        concurrency: int,
        tenants: Sequence[str],
        rate: float = 0.0,
        profile: str = PROFILE,
    ) -> list[tuple[str, str, float, float]]:
        """Create jobs; return job, tenant, and the instants of its call and its answer."""
        path = self.folder / f"created-{next(self._numbers)}.json"
        self.client.tell(
            do="create",
            count=count,
            concurrency=concurrency,
            tenants=list(tenants),
            rate=rate,
            profile=profile,
            path=str(path),
        )
        self.client.expect("created", timeout_s=1200)
        return [tuple(row) for row in json.loads(path.read_text())]

    def finish(self) -> None:
        """Wait until every job that was made is done."""
        self.client.tell(do="finish")
        self.client.expect("finished", timeout_s=1200)

    def wait_assigned(self) -> list[Assigned]:
        """Wait for the next assignments; their instants are the engines', not this call's."""
        while not (found := self.assigned()):
            time.sleep(_POLL_S)
        return found

    def assigned(self) -> list[Assigned]:
        """Return what every engine was assigned since this was last asked."""
        found = []
        for engines in self.engines:
            path = self.folder / f"assigned-{next(self._numbers)}.json"
            engines.tell(do="report", path=str(path))
            engines.expect("report")
            found += [Assigned(**dict(zip(_FIELDS, row, strict=True))) for row in _rows(path)]
            path.unlink()
        return found


_FIELDS = ("engine", "attempt", "kind", "assigned_at", "sent_at", "acked_at", "accepted")


def _rows(path: Path) -> list[list[Any]]:
    rows: list[list[Any]] = json.loads(path.read_text())
    return rows


@contextlib.contextmanager
def control_plane(
    folder: Path,
    *,
    database_url: str = "",
    server_pid: int = 0,
    env: Mapping[str, str] | None = None,
) -> Iterator[ControlPlane]:
    """Run dispatch on that database while the block lasts, on SQLite without one."""
    where = {"DISTCONV_DISPATCH_DATABASE_URL": database_url} if database_url else {}
    dispatch = Child.python(
        "benchmarks.load.dispatch",
        *("--bind", "127.0.0.1:0", "--data-dir", str(folder / "data")),
        *("--storage-address", "127.0.0.1:1"),  # never called: see the module
        log=folder / "dispatch.log",
        env={**os.environ, **where, **(env or {})},
    )
    with running(dispatch):
        server = psutil.Process(server_pid) if server_pid else None
        plane = ControlPlane(folder, dispatch, server=server)
        try:
            yield plane
        finally:
            plane.close()
