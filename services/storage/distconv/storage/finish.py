"""Finishing: make of what a pipe carried the file that belongs at rest."""

import asyncio
from pathlib import Path
from typing import Protocol

import structlog

from distconv.core.errors import CorruptSourceError, DataLossError, EncodeFailedError
from distconv.core.profile import Container
from distconv.media.confine import NOT_STARTED
from distconv.media.ffmpeg import FfmpegBuild, Needs, locate_ffmpeg
from distconv.media.ports import FileSource
from distconv.media.probe.prober import WarmProber
from distconv.media.process import RunLimits
from distconv.media.remux import finish_file
from distconv.media.sandbox import Limits, Sandbox
from distconv.storage.records import Finished

_log = structlog.get_logger()
_NEEDS = Needs(muxers=frozenset(["mp4", "matroska", "webm"]), options=frozenset(["progress"]))
# A stream copy of intact media hardly grows; a hostile one must not fill the disk.
_GROWTH = 2
_GROWTH_BYTES = 256 * 1024 * 1024
# ffmpeg reports nothing while it moves an MP4's index to the front, a pass over
# the whole file: it is not stalled as long as even a slow disk would take.
_SLOW_DISK_BYTES_PER_S = 10_000_000


class Finisher(Protocol):
    """Remux a media file and look at the result."""

    async def finish(self, source: Path, target: Path, container: Container) -> Finished:
        """Make `target` of `source` in `container`; return what `target` holds.

        Raises CorruptSourceError or UnsupportedSourceError when the media is
        broken for good, and other errors when another try may succeed. Ends
        its child processes when it is cancelled.
        """
        ...


class MediaFinisher:
    """Finish with the media toolbox: ffmpeg copies the streams, PyAV probes and counts."""

    def __init__(
        self, *, sandbox: Sandbox, ffmpeg: Path | None = None, stall_timeout_s: float = 60.0
    ) -> None:
        """Take the ffmpeg that is configured; None finds one at the first use."""
        self._sandbox = sandbox
        self._ffmpeg = ffmpeg
        self._stall_timeout_s = stall_timeout_s
        self._build: FfmpegBuild | None = None

    async def finish(self, source: Path, target: Path, container: Container) -> Finished:
        """Remux, then probe and count the result with children that were started meanwhile."""
        async with WarmProber(self._sandbox, warm=2, keep_warm=False) as prober:
            await self._remux(source, target, container)
            with FileSource(target) as content:
                media, census = await asyncio.gather(
                    prober.probe(content), prober.census_file(target)
                )
        return Finished(media=media, census=census)

    async def _remux(self, source: Path, target: Path, container: Container) -> None:
        size_bytes = (await asyncio.to_thread(source.stat)).st_size
        limits = RunLimits(
            sandbox=Limits(file_size_bytes=_GROWTH * size_bytes + _GROWTH_BYTES),
            stall_timeout_s=self._stall_timeout_s + size_bytes / _SLOW_DISK_BYTES_PER_S,
        )
        try:
            await finish_file(
                source,
                target,
                container=container,
                build=await self._located(),
                sandbox=self._sandbox,
                limits=limits,
            )
        except DataLossError as error:  # the digest held: so it was made like this
            raise CorruptSourceError(error.message) from error
        except EncodeFailedError as error:
            _log.warning("finishing_failed", exit_code=error.exit_code, stderr=error.stderr_tail)
            if (error.exit_code or 0) > 0 and error.exit_code != NOT_STARTED:
                raise CorruptSourceError(error.message) from error
            raise

    async def _located(self) -> FfmpegBuild:
        if self._build is None:
            self._build = await locate_ffmpeg(self._ffmpeg, needs=_NEEDS, sandbox=self._sandbox)
        return self._build
