"""Stream a source through ffmpeg into a sink, and count what was fed."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field

from distconv.core.errors import (
    CorruptSourceError,
    DistconvError,
    StalledError,
)
from distconv.core.media import MediaCensus, MediaInfo
from distconv.core.verify import require_source
from distconv.media.feeding import PIECE_BYTES, read_layout
from distconv.media.ffmpeg import FfmpegBuild
from distconv.media.finish import trailer
from distconv.media.layout import Layout, LayoutKind, LayoutLimits, lay_out
from distconv.media.outcome import TranscodeOutcome, carried, encode_failure, shown_notes
from distconv.media.plan.values import TranscodePlan
from distconv.media.ports import Buffer, ByteSink, RangedSource
from distconv.media.probe.prober import WarmProber
from distconv.media.probe.session import StreamedCensus
from distconv.media.process import Report, RunLimits, RunResult, run_process
from distconv.media.sandbox import Limits, Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscodeLimits:
    """The bounds of a transcode: of the run, of the layout, of what is read ahead."""

    run: RunLimits = field(default_factory=lambda: RunLimits(sandbox=Limits(file_size_bytes=0)))
    layout: LayoutLimits = field(default_factory=LayoutLimits)
    piece_bytes: int = PIECE_BYTES
    read_ahead: int = 4


async def transcode(
    source: RangedSource,
    sink: ByteSink,
    *,
    plan: TranscodePlan,
    info: MediaInfo,
    build: FfmpegBuild,
    sandbox: Sandbox,
    prober: WarmProber,
    limits: TranscodeLimits | None = None,
    on_progress: Report | None = None,
    on_start: Callable[[int], None] | None = None,
    on_read: Callable[[int], None] | None = None,
) -> TranscodeOutcome:
    """Stream `source` through ffmpeg into `sink`, touching no disk.

    `on_start` gets ffmpeg's process id, `on_read` the bytes read so far. The
    sink's last bytes describe what finishing has to add. Whatever is raised,
    every child is gone. Raises CorruptSourceError (cut short, damaged),
    UnsupportedSourceError (cannot be streamed), EncodeFailedError,
    StalledError, and whatever source and sink raise.
    """
    limits = limits or TranscodeLimits()
    layout = await lay_out(source, info.container, limits.layout)
    job = _Job(plan=plan, info=info, layout=layout, sink=sink, limits=limits, on_read=on_read)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(prober.session())
        feed = await stack.enter_async_context(
            aclosing(job.feed(source, lambda: session.begin_census(info.container)))
        )
        result = await run_process(
            lambda fd: plan.argv(build.path, fd),
            sandbox=sandbox,
            limits=limits.run,
            feed=feed,
            take=job.take,
            on_progress=on_progress,
            on_start=on_start,
        )
        return await job.conclude(result)


class _Job:
    """One transcode's running figures."""

    def __init__(
        self,
        *,
        plan: TranscodePlan,
        info: MediaInfo,
        layout: Layout,
        sink: ByteSink,
        limits: TranscodeLimits,
        on_read: Callable[[int], None] | None,
    ) -> None:
        self._plan = plan
        self._info = info
        self._layout = layout
        self._sink = sink
        self._limits = limits
        self._on_read = on_read
        self._digest = hashlib.sha256() if layout.kind is LayoutKind.AS_IS else None
        self._read_bytes = 0
        self._output_bytes = 0
        self._census: StreamedCensus | None = None

    async def feed(
        self, source: RangedSource, begin: Callable[[], Awaitable[StreamedCensus]]
    ) -> AsyncGenerator[Buffer, None]:
        """Yield the source's bytes, counted and digested on the way."""
        self._census = await begin()
        pieces = read_layout(
            source,
            self._layout,
            piece_bytes=self._limits.piece_bytes,
            read_ahead=self._limits.read_ahead,
        )
        async with aclosing(pieces):
            async for piece in pieces:
                self._read_bytes += len(piece)
                if self._digest is not None:
                    self._digest.update(piece)
                yield piece
                await self._count(piece)
                if self._on_read is not None:
                    self._on_read(self._read_bytes)

    async def _count(self, piece: Buffer) -> None:
        if self._census is None:
            return
        try:
            async with asyncio.timeout(self._limits.run.stall_timeout_s):
                await self._census.write(piece)
        except TimeoutError as error:
            raise StalledError("the counting process takes no more bytes") from error

    async def take(self, data: memoryview) -> None:
        """Pass on what ffmpeg writes."""
        self._output_bytes += len(data)
        await self._sink.write(data)

    async def conclude(self, result: RunResult) -> TranscodeOutcome:
        """Judge the run; end the output with what finishing has to know."""
        if result.exit_code != 0:
            raise await self._failure(result)
        census = await self._finish_census()
        require_source(self._info, census, expected_bytes=self._layout.size_bytes)
        found = self._census.pictures if self._census is not None else {}
        finish, notes = carried(self._plan, found)
        end = trailer(finish)
        self._output_bytes += len(end)
        await self._sink.write(end)
        return TranscodeOutcome(
            run=result,
            layout=self._layout.kind,
            layout_reason=self._layout.reason,
            source_census=census,
            source_sha256=self._digest.hexdigest() if self._digest else None,
            frame_count=result.last_progress.frame if result.last_progress else 0,
            output_bytes=self._output_bytes,
            notes=(*self._plan.notes, *notes, *shown_notes(self._plan, census)),
        )

    async def _finish_census(self) -> MediaCensus:
        if self._census is None:
            raise CorruptSourceError("nothing of the source was read")
        try:
            async with asyncio.timeout(self._limits.run.stall_timeout_s):
                return await self._census.finish()
        except TimeoutError as error:
            raise StalledError("the counting process does not end") from error

    async def _failure(self, result: RunResult) -> DistconvError:
        """Say why ffmpeg failed: for a source that is cut short, that and not its symptom."""
        if self._read_bytes == self._layout.size_bytes:
            try:
                census = await self._finish_census()
                require_source(self._info, census, expected_bytes=self._layout.size_bytes)
            except CorruptSourceError as error:
                return error
            except StalledError:
                pass
        return encode_failure(result)
