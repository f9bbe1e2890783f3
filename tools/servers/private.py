"""One private server: its process, port, log and end."""

import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from servers.programs import parting

HOST = "127.0.0.1"
_START_TIMEOUT_S = 60.0  # recovery of a killed PostgreSQL on a busy machine included
STOP_TIMEOUT_S = 30.0
_PORT_TRIES = 5  # a port found free may be taken before the server binds it
_KEPT_LOG_LINES = 200

# A child's parent-death signal fires when the *thread* that started it ends, so that
# all servers are started by one thread that lives as long as this process.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="servers")


class ServerFailedError(Exception):
    """A server did not start; the message ends with its last words."""


class PrivateServer(ABC):
    """One server process on one port and one folder."""

    ready_mark: str
    """What the server logs once it takes connections."""
    gives_up_root = True
    """Whether it runs as another user when we are root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self._log: deque[str] = deque(maxlen=_KEPT_LOG_LINES)

    @property
    def address(self) -> str:
        """Return host:port."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Return the process id of the running server."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    @property
    def log(self) -> str:
        """Return the last lines that the server logged."""
        return "\n".join(self._log)

    @property
    def isrunning(self) -> bool:
        """Tell whether the server was started and neither killed nor stopped since."""
        return self._process is not None

    def start(self) -> None:
        """Start, or start again on the same port and folder; return when it takes connections.

        Raises ServerFailedError.
        """
        if self._process is not None:
            return
        if self.port:
            self._start_once()
            return
        for attempt in range(1, _PORT_TRIES + 1):
            self.port = free_port()
            try:
                self._start_once()
            except ServerFailedError:
                self.port = 0
                if attempt == _PORT_TRIES:
                    raise
            else:
                return

    def kill(self) -> None:
        """SIGKILL every process of the server; return when they are gone."""
        if self._process is None:
            return
        _end([self.pid, *_descendants(self.pid)], signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """Shut the server down in good order; kill it when that takes too long."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)  # PostgreSQL: the fast shutdown
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def freeze(self) -> None:
        """Stop every process of the server without ending it: connections hang, none breaks."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal_all(signal.SIGCONT)

    @abstractmethod
    def _argv(self) -> list[str]: ...

    def _environment(self) -> dict[str, str]:
        """Return what the server's environment has beside ours."""
        return {}

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in [self.pid, *_descendants(self.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _start_once(self) -> None:
        ready = threading.Event()
        process = _spawner.submit(self._spawn).result()
        self._process = process
        threading.Thread(target=self._read_log, args=(process, ready), daemon=True).start()
        if not ready.wait(_START_TIMEOUT_S) or process.poll() is not None:
            self.kill()
            raise ServerFailedError(
                f"{self._argv()[0]} did not start on {self.address}; it said:\n{self.log}"
            )

    def _spawn(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*parting(give_up_root=self.gives_up_root), *self._argv()],
            cwd=self.folder,
            env={**os.environ, **self._environment()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def _read_log(self, process: "subprocess.Popen[str]", ready: threading.Event) -> None:
        assert process.stdout is not None  # noqa: S101  # asked for a pipe above
        with process.stdout:
            for line in process.stdout:
                self._log.append(line.rstrip())
                if self.ready_mark in line:
                    ready.set()
        ready.set()  # it ended: whoever waits looks whether it lives


_Server = TypeVar("_Server", bound=PrivateServer)


@contextmanager
def running(server: _Server) -> Iterator[_Server]:
    """Run a server while the block lasts."""
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def folder_of_its_own() -> Iterator[Path]:
    """Make a folder in the common temporary folder: pytest's own are shut to other users."""
    path = Path(tempfile.mkdtemp(prefix="distconv-server-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _descendants(pid: int) -> list[int]:
    """Return the processes below `pid`: backends of PostgreSQL are in groups of their own."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    children = [int(word) for word in text.split()]
    return [*children, *(below for child in children for below in _descendants(child))]


def _end(pids: Sequence[int], number: signal.Signals) -> None:
    """Signal processes and wait until they are gone, those included that are not our children."""
    handles: list[int] = []
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                handles.append(os.pidfd_open(pid))
        for handle in handles:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
        for handle in handles:
            select.select([handle], [], [], STOP_TIMEOUT_S)
    finally:
        for handle in handles:
            os.close(handle)
