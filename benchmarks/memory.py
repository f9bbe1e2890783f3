"""The engine's memory for a small and a large source: flat, whatever the size."""

import contextlib
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.clips import bulk
from benchmarks.result import Result
from benchmarks.system import DCCTL, System, embedded

SMALL_BYTES = 20_000_000
LARGE_BYTES = 1_000_000_000
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
        self.sample_count = 0

    def run(self) -> None:
        """Sample until told to stop."""
        while not self._done.wait(_INTERVAL_S):
            self.peak_bytes = max(self.peak_bytes, self._sample())
            self.sample_count += 1

    def stop(self) -> int:
        """Stop, and return the peak."""
        self._done.set()
        self.join()
        return self.peak_bytes

    def _sample(self) -> int:
        total = 0
        for process in (self._engine, *self._engine.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                if "ffmpeg" not in process.name():
                    total += process.memory_info().rss
        return total


def run() -> Iterator[Result]:
    """Yield the difference of the peaks."""
    small, large = bulk(SMALL_BYTES), bulk(LARGE_BYTES)
    with embedded() as system, tempfile.TemporaryDirectory() as folder:
        _copy(system, small, Path(folder))  # what is loaded once is loaded now
        low = _copy(system, small, Path(folder))
        high = _copy(system, large, Path(folder))
    yield Result(
        name="memory",
        value=max(high - low, 0) / _MIB,
        unit="MiB",
        reference=low / _MIB,
        bar=BAR_MIB,
        bar_on_ratio=False,
        details={
            "peak_small_mib": low / _MIB,
            "peak_large_mib": high / _MIB,
            "small_bytes": small.stat().st_size,
            "large_bytes": large.stat().st_size,
        },
    )


def _copy(system: System, source: Path, folder: Path) -> int:
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
    return sampler.stop()
