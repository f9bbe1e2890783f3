"""Run one media tool between a source and a sink: feed it, drain it, watch it, end it."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from distconv.media.child import Child, Exit, start
from distconv.media.pipes import PipeReader, PipeWriter, open_pipe
from distconv.media.ports import Buffer
from distconv.media.progress import Progress, ProgressParser
from distconv.media.sandbox import Limits, Sandbox
from distconv.media.watchdog import Watchdog

_TAIL_LINES = 40
_TAIL_LINE_CHARS = 400
_SMALL_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """The bounds of one run.

    `stall_timeout_s`: no progress in bytes and frames for so long ends it.
    `grace_s`: from TERM to KILL; short, since ffmpeg does not heed TERM while it
    waits for stdin, and what it would still write is not wanted. `chunk_bytes`:
    the size of what the sink gets; `chunk_delay_s`: a smaller chunk waits no
    longer than this.
    """

    sandbox: Limits = field(default_factory=Limits)
    stall_timeout_s: float = 60.0
    grace_s: float = 0.5
    chunk_bytes: int = 256 * 1024
    chunk_delay_s: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended. `stdin_closed_early`: the child stopped reading before the source ended."""

    argv: tuple[str, ...]
    exit_code: int
    stderr_tail: tuple[str, ...]
    stdin_bytes: int
    stdout_bytes: int
    stdin_closed_early: bool
    cpu_time_s: float
    peak_memory_bytes: int
    last_progress: Progress | None


class Tail:
    """Keep the last lines of a text stream, bounded in lines and in their length."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_TAIL_LINES)
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take more bytes; ffmpeg ends lines with CR as well as LF."""
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        self._rest = self._rest[-4 * _TAIL_LINE_CHARS :]
        for line in lines:
            self._keep(line)

    def _keep(self, line: bytes) -> None:
        if text := line.decode("utf-8", "replace").strip()[:_TAIL_LINE_CHARS]:
            self._lines.append(text)

    def finish(self) -> tuple[str, ...]:
        """Return what was kept."""
        self._keep(self._rest)
        self._rest = b""
        return tuple(self._lines)


Feed = AsyncIterator[Buffer]
Take = Callable[[memoryview], Awaitable[None]]
Report = Callable[[Progress], None]


async def run_process(
    argv: Callable[[int], Sequence[str]],
    *,
    sandbox: Sandbox,
    limits: RunLimits,
    readable: Sequence[Path] = (),
    feed: Feed | None = None,
    take: Take | None = None,
    on_progress: Report | None = None,
    on_start: Callable[[int], None] | None = None,
) -> RunResult:
    """Run a child to its end and return how it ended; its exit code is the caller's to judge.

    `argv` gets the number of the descriptor that `-progress` is to write to.
    `readable` are the files that it may open. What `feed` yields goes to stdin and
    is closed at its end; stdout goes to `take`, whose buffer is reused. `on_start`
    gets the process id.

    Whatever fails (the feed, the sink, a stall, cancellation) ends the child's
    whole group first, before its stdin is closed, so that it can never take a
    broken feed for the end of the source; then the failure is raised as it is.
    """
    run = _Run(sandbox=sandbox, limits=limits)
    async with AsyncExitStack() as stack:
        child = run.start(argv, stack, has_stdin=feed is not None, readable=readable)
        if on_start is not None:
            on_start(child.pid)
        try:
            ended = await run.carry(child, feed, take, on_progress)
        except asyncio.CancelledError:
            run.stop_reading()
            await child.terminate(limits.grace_s)
            raise
        except BaseException:
            await child.kill()
            raise
    return run.result(ended)


class _Run:
    """The state of one run."""

    def __init__(self, *, sandbox: Sandbox, limits: RunLimits) -> None:
        self._sandbox = sandbox
        self._limits = limits
        self._tail = Tail()
        self._watchdog = Watchdog(limits.stall_timeout_s)
        self._argv: tuple[str, ...] = ()
        self._stdin_bytes = 0
        self._stdout_bytes = 0
        self._closed_early = False
        self._progress: Progress | None = None

    def start(
        self,
        argv: Callable[[int], Sequence[str]],
        stack: AsyncExitStack,
        *,
        has_stdin: bool,
        readable: Sequence[Path],
    ) -> Child:
        with ExitStack() as theirs:  # the child's ends: closed here once it has them
            stdout, stdout_w = self._pipe(stack, theirs)
            stderr, stderr_w = self._pipe(stack, theirs)
            progress, progress_w = self._pipe(stack, theirs)
            self._out, self._err, self._reports = stdout, stderr, progress
            stdin_r = self._stdin_pipe(stack, theirs) if has_stdin else _null(theirs)
            self._argv = tuple(argv(progress_w))
            command = self._sandbox.confine(
                self._argv, limits=self._limits.sandbox, readable=readable
            )
            return start(
                command, stdin=stdin_r, stdout=stdout_w, stderr=stderr_w, pass_fds=(progress_w,)
            )

    def _pipe(self, stack: AsyncExitStack, theirs: ExitStack) -> tuple[PipeReader, int]:
        read_end, write_end = open_pipe()
        theirs.callback(os.close, write_end)
        reader = PipeReader(read_end)
        stack.callback(reader.close)
        return reader, write_end

    def _stdin_pipe(self, stack: AsyncExitStack, theirs: ExitStack) -> int:
        read_end, write_end = open_pipe()
        theirs.callback(os.close, read_end)
        self._in = PipeWriter(write_end)
        stack.callback(self._in.close)
        return read_end

    def stop_reading(self) -> None:
        """Close stdout, so that a child that is asked to end cannot hang writing to it."""
        self._out.close()

    async def carry(
        self, child: Child, feed: Feed | None, take: Take | None, on_progress: Report | None
    ) -> Exit:
        """Move bytes until the child has ended and its pipes are empty."""
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watchdog.watch())
                moving = [
                    group.create_task(self._drain_stdout(take)),
                    group.create_task(self._drain_stderr()),
                    group.create_task(self._drain_progress(on_progress)),
                ]
                feeding = group.create_task(self._feed(feed)) if feed is not None else None
                ended = await child.wait()
                await asyncio.gather(*moving)
                watch.cancel()
                if feeding is not None:
                    await self._finish_feed(feeding, ended)
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None
        return ended

    async def _finish_feed(self, feeding: asyncio.Task[None], ended: Exit) -> None:
        if ended.code != 0:
            feeding.cancel()
        await asyncio.wait([feeding])

    async def _feed(self, feed: Feed) -> None:
        while True:
            with self._watchdog.paused():
                piece = await anext(feed, None)
            if piece is None:
                self._in.close()
                return
            if not self._closed_early:
                await self._write(piece)

    async def _write(self, piece: Buffer) -> None:
        # After a broken pipe the feed is still read to its end, for those who
        # count and digest it; whether the child was right to stop, its exit
        # code and the census say.
        try:
            await self._in.write(piece)
        except BrokenPipeError:
            self._closed_early = True
            self._in.close()
            return
        self._stdin_bytes += len(piece)
        self._watchdog.touch()

    async def _drain_stdout(self, take: Take | None) -> None:
        async def deliver(piece: memoryview) -> None:
            self._stdout_bytes += len(piece)
            if take is not None:
                with self._watchdog.paused():
                    await take(piece)

        await self._out.drain(
            deliver,
            chunk_bytes=self._limits.chunk_bytes,
            max_delay_s=self._limits.chunk_delay_s,
        )

    async def _drain_stderr(self) -> None:
        while data := await self._err.read(_SMALL_READ_BYTES):
            self._tail.feed(data)

    async def _drain_progress(self, on_progress: Report | None) -> None:
        parser = ProgressParser()
        while data := await self._reports.read(_SMALL_READ_BYTES):
            for report in parser.feed(data):
                self._moved(report)
                if on_progress is not None:
                    on_progress(report)

    def _moved(self, report: Progress) -> None:
        # Only what is more than before counts: ffmpeg reports at its pace even when stuck.
        last = self._progress or Progress()
        if (report.frame, report.out_time_s, report.total_size_bytes) != (
            last.frame,
            last.out_time_s,
            last.total_size_bytes,
        ):
            self._watchdog.touch()
        self._progress = report

    def result(self, ended: Exit) -> RunResult:
        return RunResult(
            argv=self._argv,
            exit_code=ended.code,
            stderr_tail=self._tail.finish(),
            stdin_bytes=self._stdin_bytes,
            stdout_bytes=self._stdout_bytes,
            stdin_closed_early=self._closed_early,
            cpu_time_s=ended.cpu_time_s,
            peak_memory_bytes=ended.peak_memory_bytes,
            last_progress=self._progress,
        )


def _null(stack: ExitStack) -> int:
    fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first leaf of a group: what failed first; the rest are its consequences."""
    first: BaseException = errors
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
