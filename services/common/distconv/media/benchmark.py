"""Measure how fast a build of ffmpeg encodes a generated clip, as the shipped profiles would."""

import asyncio
from dataclasses import dataclass, field
from functools import cache

from distconv.core.errors import EncodeFailedError, MissingEncoderError
from distconv.core.media import StreamInfo, StreamKind
from distconv.core.profile import Profile
from distconv.core.profiles import load_catalogue
from distconv.media.ffmpeg import FfmpegBuild
from distconv.media.plan.video import ENCODERS, choose_video
from distconv.media.process import RunLimits, run_process
from distconv.media.progress import Progress
from distconv.media.sandbox import Limits, Sandbox

_FRAME_RATE = 30
# The clip repeats after so many frames: drawing them would cost an encoder's time, keeping more
# of them memory (12 MB each at 2160 lines).
_CLIP_FRAMES = 12
_PERIOD_S = 0.1
# The frames between two reports have to be worth a measurement.
_SHORTEST_SPAN_S = 0.5


def measurable_codecs(build: FfmpegBuild) -> tuple[str, ...]:
    """Return the video codecs whose encoders a build has."""
    return tuple(codec.value for codec, name in ENCODERS.items() if name in build.encoders)


def benchmark_argv(
    codec: str, height: int, build: FfmpegBuild, progress_fd: int
) -> tuple[str, ...]:
    """Return the command that encodes an endless clip of 16:9 into nothing; pure.

    Preset, quality and threads are those of the shipped profile of the codec at
    that size. Raises MissingEncoderError.
    """
    if codec not in measurable_codecs(build):
        raise MissingEncoderError(f"ffmpeg {build.version} has no encoder for {codec}")
    width = round(height * 16 / 18) * 2
    profile = _profile(codec)
    if profile.video is None:
        raise MissingEncoderError(f"profile '{codec}' makes no video")
    clip = StreamInfo(
        index=0,
        kind=StreamKind.VIDEO,
        codec="rawvideo",
        width=width,
        height=height,
        pixel_format="yuv420p",
        frame_rate=f"{_FRAME_RATE}/1",
    )
    choice = choose_video(clip, profile.video, profile.container)
    options = [part for name, value in choice.options for part in (f"-{name}:0", value)]
    source = (
        f"testsrc2=size={width}x{height}:rate={_FRAME_RATE}:duration={_CLIP_FRAMES / _FRAME_RATE},"
        f"format=yuv420p,loop=loop=-1:size={_CLIP_FRAMES}"
    )
    return (
        *(str(build.path), "-nostdin", "-hide_banner", "-loglevel", "warning", "-nostats"),
        *("-progress", f"pipe:{progress_fd}", "-stats_period", f"{_PERIOD_S:g}"),
        *("-protocol_whitelist", "pipe", "-format_whitelist", "lavfi"),
        *("-f", "lavfi", "-i", source, "-map", "0:0", *options, "-f", "null", "-"),
    )


@cache
def _profile(codec: str) -> Profile:
    """Return the shipped profile at the source's size, which is named as its codec."""
    return load_catalogue().get(codec)


@dataclass(slots=True)
class SpeedMeter:
    """Turn reports of progress into frames per second, without the encoder's start."""

    _first: tuple[float, int] | None = None
    _last: tuple[float, int] = field(default=(0.0, 0))

    def note(self, now_s: float, frame_count: int) -> None:
        """Note a report of `frame_count` frames at `now_s`, on any clock."""
        if frame_count <= 0:
            return
        self._first = self._first or (now_s, frame_count)
        self._last = (now_s, frame_count)

    def fps(self) -> float:
        """Return frames per second; 0 when too little was seen to tell."""
        if self._first is None:
            return 0.0
        span_s, frames = self._last[0] - self._first[0], self._last[1] - self._first[1]
        return frames / span_s if span_s >= _SHORTEST_SPAN_S else 0.0


async def measure_speed(
    codec: str, height: int, *, build: FfmpegBuild, sandbox: Sandbox, budget_s: float
) -> float:
    """Encode for `budget_s`; return frames per second, 0 when too slow to tell.

    Raises MissingEncoderError, and EncodeFailedError when ffmpeg ends by itself.
    """
    meter = SpeedMeter()
    loop = asyncio.get_running_loop()

    def report(progress: Progress) -> None:
        meter.note(loop.time(), progress.frame)

    benchmark_argv(codec, height, build, 0)  # raises before a process is started
    try:
        async with asyncio.timeout(budget_s):
            result = await run_process(
                lambda fd: benchmark_argv(codec, height, build, fd),
                sandbox=sandbox,
                # The timeout above ends it; a slow encoder shows nothing for long, and may.
                # What it would still write is not wanted: it is killed almost at once.
                limits=RunLimits(
                    sandbox=Limits(file_size_bytes=0),
                    stall_timeout_s=budget_s + 60,
                    grace_s=0.05,
                ),
                on_progress=report,
            )
    except TimeoutError:
        return meter.fps()
    why = result.stderr_tail[-1] if result.stderr_tail else "it says nothing"
    raise EncodeFailedError(
        f"ffmpeg ended a benchmark with code {result.exit_code}: {why}",
        argv=result.argv,
        exit_code=result.exit_code,
        stderr_tail=result.stderr_tail,
    )
