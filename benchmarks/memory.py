"""The engine's memory for a small and a large source: flat, whatever the size."""

import contextlib
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from benchmarks.clips import bulk
from benchmarks.result import Result
from benchmarks.system import DCCTL, System, embedded

SMALL_BYTES = 20_000_000
LARGE_BYTES = 1_000_000_000
SMALL_ROUNDS = 10
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
        _copy(system, [small], Path(folder))  # what is loaded once is loaded now
        # One after another, for about as long as the large one takes: how many runners are kept
        # ready while one works depends on time, and is the same for both then.
        low = _copy(system, [small] * SMALL_ROUNDS, Path(folder))
        high = _copy(system, [large], Path(folder))
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


def _copy(system: System, sources: Sequence[Path], folder: Path) -> PeakSampler:
    sampler = PeakSampler(system.engine())
    sampler.start()
    output = folder / "out.mkv"
    for source in sources:
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
