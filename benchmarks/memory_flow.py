"""The memory of every process for sources of 20 MB, 1 GB and 20 GB: flat, whatever the size.

The sources are uncompressed pictures, sparse on the client's disk. A job uploads and encodes each,
small; then the source is sent once more and fetched. So every byte goes from the client to storage,
from there to the engine, and back to the client.
"""

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from benchmarks.clips import sparse_film
from benchmarks.load.media_plane import MediaPlane, finished, media_plane
from benchmarks.result import Result

SIZES = (20_000_000, 1_000_000_000, int(os.environ.get("DISTCONV_BENCH_MB", "20000")) * 1_000_000)
BAR_MIB = 16.0
_INTERVAL_S = 0.05
_TRANSFER_S = 3600.0
_MIB = 1024 * 1024
_PROFILE = """
[tiny]
extends = "h264"
video = { max_width = 160, max_height = 90, preset = "ultrafast" }
"""


class Peaks(threading.Thread):
    """Keep the peak of the resident memory of each process, ffmpeg left out."""

    def __init__(self, roots: Callable[[], dict[str, psutil.Process]]) -> None:
        """`roots` names the processes; below one, the largest is its runner."""
        super().__init__(daemon=True)
        self._roots = roots
        self._done = threading.Event()
        self.peak_mib: dict[str, float] = {}

    def run(self) -> None:
        """Sample until told to stop."""
        while not self._done.wait(_INTERVAL_S):
            for name, root in self._roots().items():
                self._note(name, _resident_bytes([root]))
                if name == "engine":
                    self._note("runner", _resident_bytes(_below(root)))

    def _note(self, name: str, size_bytes: int) -> None:
        self.peak_mib[name] = max(self.peak_mib.get(name, 0.0), size_bytes / _MIB)

    def stop(self) -> None:
        """Stop sampling."""
        self._done.set()
        self.join()


def _below(root: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return root.children(recursive=True)
    return []


def _resident_bytes(processes: list[psutil.Process]) -> int:
    """Return the memory of the largest of some processes, those of ffmpeg left out."""
    largest = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            # The shim on its way to ffmpeg is ffmpeg's own, too.
            if "ffmpeg" not in " ".join(process.cmdline()):
                largest = max(largest, process.memory_info().rss)
    return largest


def run() -> Iterator[Result]:
    """Yield for each process how far its peaks are apart."""
    found: dict[int, dict[str, float]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="distconv-bench-") as name,
        media_plane(Path(name)) as plane,
    ):
        (plane.folder / "tiny.toml").write_text(_PROFILE)
        _flow(plane, SIZES[0])  # what is loaded once is loaded now
        for size_bytes in SIZES:
            found[size_bytes] = _flow(plane, size_bytes)
            print(f"  {size_bytes / 1e9:g} GB: {found[size_bytes]}", flush=True)
    for process in found[SIZES[0]]:
        peaks = [found[size_bytes][process] for size_bytes in SIZES]
        yield Result(
            name=f"memory-{process}",
            value=max(peaks) - min(peaks),
            unit="MiB",
            reference=peaks[0],
            bar=BAR_MIB,
            bar_on_ratio=False,
            details={"sizes_bytes": SIZES, "peaks_mib": peaks},
        )


def _flow(plane: MediaPlane, size_bytes: int) -> dict[str, float]:
    """Take a source through every process; return the peak of each, MiB."""
    source = sparse_film(plane.folder, size_bytes)
    client: list[psutil.Process] = []

    def roots() -> dict[str, psutil.Process]:
        daemons = {
            "storage": plane.storage.process,
            "dispatch": plane.dispatch.process,
            "engine": plane.engine.process,
        }
        return {**daemons, "client": client[-1]} if client else daemons

    peaks = Peaks(roots)
    peaks.start()

    def dcctl(*arguments: str | Path) -> str:
        run = plane.start_dcctl(*arguments)
        client.append(psutil.Process(run.pid))
        code, out, err = finished(run, within_s=_TRANSFER_S)
        if code:
            raise RuntimeError(f"dcctl {arguments[0]} ended with {code}: {out}{err}")
        return out.strip()

    output, profile = plane.folder / "out.mkv", plane.folder / "tiny.toml"
    dcctl("transcode", source, "-o", output, "-p", profile)
    output.unlink()
    stored = dcctl("objects", "put", source)
    source.unlink()
    dcctl("objects", "get", stored, "-o", output)
    peaks.stop()
    output.unlink()
    plane.dcctl("objects", "rm", stored, "--yes")
    return {name: round(peak, 1) for name, peak in peaks.peak_mib.items()}
