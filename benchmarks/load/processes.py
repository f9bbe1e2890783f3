"""Child processes that speak JSON lines, and what processes cost."""

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil

ROOT = Path(__file__).parent.parent.parent
_STOP_S = 30.0


class Child:
    """A process that tells of itself in lines of JSON with an `event` on its stdout."""

    def __init__(
        self, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        """Start it; what it writes to stderr goes to the file `log`."""
        with log.open("ab") as stderr:
            self._popen = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=ROOT,
                env=None if env is None else dict(env),
            )
        self._log = log
        self._said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.process = psutil.Process(self._popen.pid)

    @classmethod
    def python(
        cls, module: str, *args: str, log: Path, env: Mapping[str, str] | None = None
    ) -> Self:
        """Run a module of this interpreter."""
        return cls([sys.executable, "-m", module, *args], log=log, env=env)

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            with contextlib.suppress(json.JSONDecodeError):
                if isinstance(said := json.loads(line), dict):
                    self._said.put(said)
        self._said.put(None)

    def expect(self, event: str, *, timeout_s: float = 60.0) -> dict[str, Any]:
        """Return the next message of that name.

        Raises RuntimeError with the end of its log when the process ends or says nothing.
        """
        end = time.monotonic() + timeout_s
        while True:
            try:
                said = self._said.get(timeout=max(end - time.monotonic(), 0.001))
            except queue.Empty:
                raise RuntimeError(
                    f"no '{event}' within {timeout_s:.0f} s\n{self._tail()}"
                ) from None
            if said is None:
                raise RuntimeError(f"it ended before it said '{event}'\n{self._tail()}")
            if said.get("event") == event:
                return said

    def tell(self, **message: Any) -> None:
        """Send a line of JSON to its stdin."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps(message) + "\n")
        self._popen.stdin.flush()

    def stop(self) -> None:
        """End it as its users do, with SIGTERM; kill it when that does not help."""
        self._popen.terminate()
        try:
            self._popen.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
        self._reap()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._popen.kill()
        self._reap()

    def _reap(self) -> None:
        self._popen.wait(_STOP_S)
        self._reader.join(_STOP_S)
        for pipe in (self._popen.stdin, self._popen.stdout):
            with contextlib.suppress(OSError):  # what was not flushed has nobody to read it
                if pipe is not None:
                    pipe.close()

    def _tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join([f"{' '.join(map(str, self._popen.args))} said last:", *lines[-15:]])  # type: ignore[arg-type]


@contextlib.contextmanager
def running(child: Child) -> Iterator[Child]:
    """Have a child while the block lasts."""
    try:
        yield child
    finally:
        child.stop()


def cpu_time_s(root: psutil.Process) -> float:
    """Return the processor time of a process and all below it, those that have ended included."""
    total = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                t = process.cpu_times()
                total += t.user + t.system + t.children_user + t.children_system
    return total


class CpuMeter:
    """What named processes cost between two instants."""

    def __init__(self, processes: Mapping[str, psutil.Process]) -> None:
        """Begin to measure."""
        self._processes = dict(processes)
        self._before = self._read()
        self._start = time.perf_counter()

    def _read(self) -> dict[str, float]:
        return {name: cpu_time_s(process) for name, process in self._processes.items()}

    def stop(self) -> dict[str, float]:
        """Return the processor time of each since the beginning, seconds."""
        after = self._read()
        return {name: after[name] - self._before[name] for name in after}
