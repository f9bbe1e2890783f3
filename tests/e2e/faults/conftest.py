"""A fleet of installed commands: replicas, storage and engines, on servers of its own."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import IO, Any

import psutil
import pytest
from tests.conftest import lacking

from distconv.client import Client, Job, JobState
from servers import (
    MissingServerError,
    NatsServer,
    PostgresqlServer,
    PrivateServer,
    free_port,
    nats_server,
    postgresql_server,
)

_BIN = Path(sys.executable).parent
# Nothing of the machine that runs the tests may choose a setting.
_ENV = {key: value for key, value in os.environ.items() if not key.startswith("DISTCONV_")}
_READY_S = 60.0


class DaemonEndedError(Exception):
    """A daemon ended before it was ready; the message ends with why."""


class Daemon:
    """One of the installed daemons, on the same folder and port however often it is started."""

    def __init__(
        self,
        name: str,
        folder: Path,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`env` is added to the environment."""
        self._env = {**_ENV, **(env or {})}
        self.name = name
        self.folder = folder
        self._arguments = arguments
        self._log = folder.with_suffix(".log")
        self.process: subprocess.Popen[str] | None = None
        self.ready: dict[str, str] = {}

    def start(self) -> None:
        """Start it and wait until it is ready. Raises DaemonEndedError."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start it."""
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                [str(_BIN / self.name), "--data-dir", str(self.folder), *self._arguments]
                # Should this process be killed, its children end with it.
                + ["--exit-on-stdin-eof", "--log-level", "info"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._env,
            )

    def wait_ready(self) -> None:
        """Wait for its ready line. Raises DaemonEndedError."""
        assert self.process is not None
        assert self.process.stdout is not None
        stdout = self.process.stdout
        timer = threading.Timer(_READY_S, self.process.kill)
        timer.start()
        line = stdout.readline()
        timer.cancel()
        self._reader = threading.Thread(target=_drain, args=(stdout,), daemon=True)
        # An engine tells of every welcome: nobody may hang for want of a reader.
        self._reader.start()
        said = json.loads(line) if line else {}
        if said.get("event") != "ready":
            self._reap()
            why = said.get("message") or self.log_tail()
            raise DaemonEndedError(f"{self.name} ended before it was ready:\n{why}")
        self.ready = said

    @property
    def pid(self) -> int:
        """Return its process id."""
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL it."""
        assert self.process is not None
        self.process.kill()
        self._reap()

    def stop(self, *, within_s: float = 30.0) -> int:
        """SIGTERM it; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self._reap(within_s)

    def _reap(self, within_s: float = 30.0) -> int:
        assert self.process is not None
        assert self.process.stdin is not None
        code = self.process.wait(within_s)
        self.process.stdin.close()
        self._reader.join(within_s)
        self.process = None
        return code

    def children(self, word: str) -> list[psutil.Process]:
        """Return its descendants whose command line has a word."""
        found = []
        process = self.process  # a kill in another thread may forget it at any time
        if process is None:
            return []
        try:
            below = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        for child in below:
            try:
                if any(word in part for part in child.cmdline()):
                    found.append(child)
            except psutil.Error:
                continue
        return found

    def log_tail(self, lines: int = 40) -> str:
        """Return the last lines that it logged."""
        return "\n".join(self._log.read_text().splitlines()[-lines:])

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return what it logged of an event."""
        lines = [line for line in self._log.read_text().splitlines() if f'"{event}"' in line]
        return [said for said in map(json.loads, lines) if said["event"] == event]

    def log_count(self, event: str) -> int:
        """Count an event in its log."""
        return self._log.read_text().count(f'"event": "{event}"')


class Fleet:
    """The servers and daemons of one farm."""

    def __init__(self, folder: Path, postgresql: PostgresqlServer, nats: NatsServer) -> None:
        self.folder = folder
        self.postgresql = postgresql
        self.nats = nats
        self.key_file = folder / "media.key"
        self.key_file.write_bytes(os.urandom(32))
        self.storage = Daemon(
            "distconv-storage",
            folder / "storage",
            ["--bind", "127.0.0.1:0", "--media-key-file", str(self.key_file)],
        )
        self.database_url = postgresql.new_database()
        self.replicas: list[Daemon] = []
        self.engines: list[Daemon] = []
        self._numbers = itertools.count()

    @property
    def servers(self) -> Sequence[PrivateServer]:
        """Return the servers that are not distconv's."""
        return (self.postgresql, self.nats)

    @property
    def addresses(self) -> list[str]:
        """Return where the replicas listen."""
        return [replica.ready["address"] for replica in self.replicas]

    def add_replica(self, **settings: object) -> Daemon:
        """Start a dispatch replica."""
        name = f"replica{next(self._numbers)}"
        values = {
            "media_key_file": str(self.key_file),
            "storage_addresses": [self.storage.ready["address"]],
            "database_url": self.database_url,
            "nats_url": [self.nats.url],
            **settings,
        }
        # TOML writes texts, numbers and lists of them as JSON does.
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        config = self.folder / f"{name}.toml"
        config.write_text(f"[dispatch]\n{text}")
        replica = Daemon(
            "distconv-dispatch",
            self.folder / name,
            ["--bind", f"127.0.0.1:{free_port()}", "--config", str(config)],
        )
        replica.start()
        self.replicas.append(replica)
        return replica

    def add_engine(self, *, slots: int = 1) -> Daemon:
        """Start an engine that knows every replica."""
        name = f"engine{next(self._numbers)}"
        config = self.folder / f"{name}.toml"
        config.write_text("[engine]\nbenchmark_budget_s = 0\n")
        engine = Daemon(
            "distconv-engine",
            self.folder / name,
            [part for address in self.addresses for part in ("--dispatch", address)]
            + ["--slots", str(slots), "--name", name, "--config", str(config)],
        )
        engine.start()
        self.engines.append(engine)
        return engine

    def close(self) -> None:
        """End whatever still runs, and print its last words: a test that failed shows them."""
        for daemon in (*self.engines, *self.replicas, self.storage):
            if daemon.process is not None:
                daemon.kill()
            sys.stdout.write(f"--- {daemon.folder.name}\n{daemon.log_tail()}\n")


def _drain(stream: IO[str]) -> None:
    with stream:
        for _ in stream:
            pass


async def until(client: Client, name: str, state: JobState, engine: str = "") -> Job:
    """Follow a job until it is in a state, and on an engine if one is given."""
    async with asyncio.timeout(100), aclosing(client.watch_job(name)) as snapshots:
        async for job in snapshots:
            if job.state is state and engine in ("", job.engine):
                return job
    raise AssertionError(f"{name} ended before it was {state}")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A storage service on servers of its own; the test adds replicas and engines."""
    with ExitStack() as stack:
        try:
            postgresql = stack.enter_context(postgresql_server(fsync=False))
            nats = stack.enter_context(nats_server())
        except MissingServerError as error:
            lacking(error)
        made = Fleet(tmp_path, postgresql, nats)
        stack.callback(made.close)
        made.storage.start()
        yield made
