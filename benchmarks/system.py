"""The embedded system as its users start it, and what its processes cost."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

BIN = Path(sys.executable).parent
DCCTL = str(BIN / "dcctl")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A running `dcctl up`."""

    process: psutil.Process
    address: str

    def tree(self) -> list[psutil.Process]:
        """Return its living processes."""
        return [self.process, *self.process.children(recursive=True)]

    def cpu_time_s(self) -> float:
        """Return the processor time of its processes, those that have ended included."""
        total = 0.0
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                t = process.cpu_times()
                total += t.user + t.system + t.children_user + t.children_system
        return total

    def engine(self) -> psutil.Process:
        """Return the engine's supervisor."""
        for process in self.process.children():
            if any("distconv.engine" in word for word in process.cmdline()):
                return process
        raise RuntimeError("the engine is not running")


@contextlib.contextmanager
def embedded() -> Iterator[System]:
    """Run `dcctl up` with one engine in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="distconv-bench-") as folder:
        process = subprocess.Popen(
            [
                DCCTL,
                "up",
                "--data-dir",
                folder,
                "--bind",
                "127.0.0.1:0",
                "--engines",
                "1",
                "--json",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert process.stdout is not None
            address = _wait_ready(process)
            yield System(process=psutil.Process(process.pid), address=address)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def _wait_ready(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    for line in process.stdout:
        with contextlib.suppress(json.JSONDecodeError):
            said = json.loads(line)
            if said.get("event") == "ready":
                # What comes after is read away, so that the pipe never fills.
                threading.Thread(target=process.stdout.read, daemon=True).start()
                return str(said["address"])
    raise RuntimeError("dcctl up ended before it was ready")


def timed(argv: list[str]) -> tuple[float, float]:
    """Run a command; return its wall time and its processor time, children included."""
    before = os.times()
    start = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = os.times()
    cpu = (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )
    return wall, cpu
