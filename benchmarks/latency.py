"""From a job being accepted until its ffmpeg runs, embedded, seen from outside by the kernel."""

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clips import run_ffmpeg
from benchmarks.result import OUT, Result
from benchmarks.system import System, embedded
from distconv.client import Client

ROUNDS = 15
BAR_MS = 300.0
_POLL_S = 0.003


class FfmpegWatcher(threading.Thread):
    """Note the instant at which an encoder appears below a process."""

    def __init__(self, engine_pid: int) -> None:
        super().__init__(daemon=True)
        self._engine_pid = engine_pid
        self.seen_at = 0.0

    def run(self) -> None:
        """Look every few milliseconds until it is there, 30 s at most."""
        end = time.perf_counter() + 30
        while not self.seen_at and time.perf_counter() < end:
            if any(_is_ffmpeg(pid) for pid in _descendants(self._engine_pid)):
                self.seen_at = time.perf_counter()
            time.sleep(_POLL_S)


def _descendants(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield int(child)
        yield from _descendants(int(child))


def _is_ffmpeg(pid: int) -> bool:
    try:
        return "ffmpeg" in str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return False


def run() -> Iterator[Result]:
    """Yield the median over some jobs, one after another."""
    with embedded() as system:
        values = asyncio.run(_measure(system))
    yield Result(
        name="latency",
        value=statistics.median(values),
        unit="ms",
        reference=BAR_MS,
        bar=BAR_MS,
        bar_on_ratio=False,
        details={"values": values, "reference_is": "the bar"},
    )


async def _measure(system: System) -> list[float]:
    source = OUT / "latency.mp4"
    if not source.exists():
        OUT.mkdir(parents=True, exist_ok=True)
        run_ffmpeg(
            *("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30:duration=4", "-pix_fmt"),
            *("yuv420p", "-c:v", "libx264", "-preset", "veryfast", str(source)),
        )
    values = []
    async with Client(system.address) as client:
        stored = await client.upload(source)
        for _ in range(ROUNDS):
            watcher = FfmpegWatcher(system.engine().pid)
            watcher.start()
            job = await client.create_job(source=stored, profile="h264-480p")
            accepted = time.perf_counter()
            async for _ in client.watch_job(job.name):
                pass
            watcher.join()
            values.append((watcher.seen_at - accepted) * 1000)
    return values
