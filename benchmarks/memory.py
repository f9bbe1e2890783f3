"""The engine's memory for a small and a large source: flat, whatever the size."""

import contextlib
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.clips import bulk
from benchmarks.result import Result
from benchmarks.system import DCCTL, System, embedded

SMALL_BYTES = 20_000_000
LARGE_BYTES = 1_000_000_000
# An engine replaces a runner within a second: by then all that are to be warm are.
_SETTLED_S = 3.0
BAR_MIB = 16.0
_INTERVAL_S = 0.02
_MIB = 1024 * 1024


class PeakSampler(threading.Thread):
    """Keep the peak of the resident memory of the engine's own processes, ffmpeg left out."""

    def __init__(self, engine: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._engine = engine
        self._done = threading.Event()
        self.peak_bytes = 0
        self.peak_by_process: dict[str, float] = {}

    def run(self) -> None:
        """Sample until told to stop."""
        while not self._done.wait(_INTERVAL_S):
            now = self._sample()
            if sum(now.values()) > self.peak_bytes:
                self.peak_bytes = sum(now.values())
                self.peak_by_process = {name: size / _MIB for name, size in now.items()}

    def stop(self) -> None:
        """Stop sampling."""
        self._done.set()
        self.join()

    def _sample(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for process in (self._engine, *self._engine.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                # The shim on its way to ffmpeg is ffmpeg's own, too.
                words = " ".join(process.cmdline())
                if "ffmpeg" not in words:
                    role = words.rpartition("distconv.")[2].split(" ")[0]
                    found[f"{role} {process.pid}"] = process.memory_info().rss
        return found


def run() -> Iterator[Result]:
    """Yield the difference of the peaks."""
    small, large = bulk(SMALL_BYTES), bulk(LARGE_BYTES)
    with embedded() as system, tempfile.TemporaryDirectory() as folder:
        _copy(system, small, Path(folder))  # what is loaded once is loaded now
        low = _copy(system, small, Path(folder))
        high = _copy(system, large, Path(folder))
    yield Result(
        name="memory",
        value=max(high.peak_bytes - low.peak_bytes, 0) / _MIB,
        unit="MiB",
        reference=low.peak_bytes / _MIB,
        bar=BAR_MIB,
        bar_on_ratio=False,
        details={
            "peak_small_mib": low.peak_bytes / _MIB,
            "peak_large_mib": high.peak_bytes / _MIB,
            "at_peak_small_mib": low.peak_by_process,
            "at_peak_large_mib": high.peak_by_process,
            "small_bytes": small.stat().st_size,
            "large_bytes": large.stat().st_size,
        },
    )


def _copy(system: System, source: Path, folder: Path) -> PeakSampler:
    _settle(system.engine())
    sampler = PeakSampler(system.engine())
    sampler.start()
    output = folder / "out.mkv"
    subprocess.run(
        [DCCTL, "transcode", str(source), "-o", str(output), "--profile", "copy"]
        + ["--server", system.address, "--overwrite"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    output.unlink()
    sampler.stop()
    return sampler


def _settle(engine: psutil.Process) -> None:
    """Wait until the engine's processes have been the same for a while: both sizes start alike."""
    since, known = time.monotonic(), set[int]()
    while time.monotonic() - since < _SETTLED_S:
        now = {process.pid for process in engine.children(recursive=True)}
        if now != known:
            since, known = time.monotonic(), now
        time.sleep(0.1)
