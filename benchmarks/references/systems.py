"""Run the references: workers of a chosen setting, one client, no-op jobs from end to end."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.load.processes import Child, CpuMeter, running
from benchmarks.load.run import Run
from benchmarks.references.environment import reference_bin

_CLIENT_CONCURRENCY = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A queue to measure: its worker's argv for each setting, its client, its server."""

    name: str
    settings: Mapping[str, Sequence[str]]
    client: Sequence[str]
    env: Mapping[str, str]
    server: psutil.Process

    @contextlib.contextmanager
    def running(self, setting: str, folder: Path) -> Iterator["RunningReference"]:
        """Have workers of that setting and a client while the block lasts."""
        env = {**os.environ, **self.env}
        log = folder / f"{self.name}.log"
        with (
            running(Child(self.settings[setting], log=log, env=env)) as worker,
            running(Child(self.client, log=log, env=env)) as client,
        ):
            client.expect("ready")
            yield RunningReference(self.server, worker, client)


class RunningReference:
    """Workers that wait, and a client that can be told to begin."""

    def __init__(self, server: psutil.Process, worker: Child, client: Child) -> None:
        self._server, self._worker, self._client = server, worker, client

    def run(self, count: int) -> Run:
        """Push `count` no-ops through and read what became of each."""
        meter = CpuMeter(
            {
                "server": self._server,
                "worker": self._worker.process,
                "client": self._client.process,
            }
        )
        self._client.tell(count=count, concurrency=_CLIENT_CONCURRENCY)
        took_s = self._client.expect("finished", timeout_s=600)["took_s"]
        return Run(count=count, took_s=took_s, cpu_s=meter.stop())


def celery(redis_url: str, redis_pid: int) -> Reference:
    """Return Celery on Redis: processes as many as processors, and more; threads; neither."""
    folder = reference_bin()
    base = [str(folder / "celery"), "-A", "benchmarks.references.celery_noop", "worker"]
    base += ["--loglevel=WARNING", "--without-gossip", "--without-mingle"]
    return Reference(
        name="celery",
        settings={
            "prefork, 2 processes": [*base, "--pool=prefork", "--concurrency=2"],
            "prefork, 4 processes": [*base, "--pool=prefork", "--concurrency=4"],
            "threads, 8": [*base, "--pool=threads", "--concurrency=8"],
            "solo": [*base, "--pool=solo"],
        },
        client=[str(folder / "python"), "-m", "benchmarks.references.celery_noop"],
        env={"REDIS_URL": redis_url},
        server=psutil.Process(redis_pid),
    )


def procrastinate(database_url: str, postgresql_pid: int) -> Reference:
    """Return procrastinate on PostgreSQL, its schema applied: few and many jobs at a time."""
    folder = reference_bin()
    command = [str(folder / "procrastinate"), "--app=benchmarks.references.procrastinate_noop.app"]
    env = {"DATABASE_URL": database_url, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    subprocess.run(
        [*command, "schema", "--apply"],
        check=True,
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return Reference(
        name="procrastinate",
        settings={
            f"{count} at a time": [*command, "worker", f"--concurrency={count}"]
            for count in (1, 4, 16)
        },
        client=[str(folder / "python"), "-m", "benchmarks.references.procrastinate_noop"],
        env=env,
        server=psutil.Process(postgresql_pid),
    )


def best_setting(reference: Reference, folder: Path, *, count: int) -> tuple[str, dict[str, float]]:
    """Return the setting of the highest rate, and the rates of all, after a warm-up each."""
    rates = {}
    for setting in reference.settings:
        with reference.running(setting, folder) as system:
            system.run(count // 4)
            rates[setting] = round(system.run(count).rate, 1)
    return max(rates, key=lambda setting: rates[setting]), rates
