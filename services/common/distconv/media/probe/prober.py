"""Probe sources and count files, with children started ahead of time."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

from distconv.core.errors import CorruptSourceError, StalledError
from distconv.core.media import MediaCensus, MediaInfo
from distconv.media.ports import RangedSource
from distconv.media.probe.answers import media_info
from distconv.media.probe.session import Counted, ProbeSession, StreamedCensus
from distconv.media.sandbox import Sandbox
from distconv.media.structure.boxes import TopLevel
from distconv.media.structure.check import check_structure

PROBE_TIMEOUT_S = 60.0


class WarmProber:
    """Keep `warm` probing children ready; each serves one source and is then replaced.

    A context manager; leaving it ends every child. `keep_warm=False` starts
    the first ones and does not replace them: for a process that does one job.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        warm: int = 1,
        keep_warm: bool = True,
        timeout_s: float = PROBE_TIMEOUT_S,
    ) -> None:
        self._sandbox = sandbox
        self._warm = warm
        self._keep_warm = keep_warm
        self._timeout_s = timeout_s
        self._idle: deque[ProbeSession] = deque()

    async def __aenter__(self) -> Self:
        self._fill()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._keep_warm = False
        while self._idle:
            await self._idle.popleft().close()

    def _fill(self) -> None:
        while len(self._idle) < self._warm:
            self._idle.append(ProbeSession.start(self._sandbox))

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[ProbeSession]:
        """Lend a child for one source; it is gone afterwards."""
        session = self._idle.popleft() if self._idle else ProbeSession.start(self._sandbox)
        try:
            yield session
        finally:
            await session.close()
            if self._keep_warm:
                self._fill()

    async def probe(self, source: RangedSource) -> MediaInfo:
        """Say what a source is.

        Reads its structure first, then lets a child demux its head and decode
        a frame of each video stream. Raises CorruptSourceError,
        UnsupportedSourceError, or StalledError after the time allowed, in which
        waiting for the source does not count.
        """
        checked = await check_structure(source)
        try:
            async with asyncio.timeout(self._timeout_s) as timeout, self.session() as session:
                answer = await session.probe(_TimedSource(source, timeout))
        except TimeoutError as error:
            raise StalledError(f"probing took longer than {self._timeout_s:g} s") from error
        info = media_info(
            answer,
            size_bytes=source.size_bytes,
            index_last=checked.index_last,
            warnings=_warnings(checked.boxes),
        )
        if not info.streams:
            raise CorruptSourceError("the file holds no stream that can be read")
        return info

    async def census_file(self, path: Path) -> MediaCensus:
        """Count every packet of a finished file."""
        async with self.session() as session:
            return (await session.count_file(path)).census

    async def count_source(self, path: Path, container: str) -> Counted:
        """Count every packet of a source of `container` that lies in a file."""
        async with self.session() as session:
            return await session.count_file(path, container)

    @contextlib.asynccontextmanager
    async def census_stream(self, container: str) -> AsyncIterator[StreamedCensus]:
        """Count every packet of a stream that is written to what this yields."""
        async with self.session() as session:
            yield await session.begin_census(container)


class _TimedSource:
    """A source whose reads do not count in a time limit."""

    def __init__(self, source: RangedSource, timeout: asyncio.Timeout) -> None:
        self._source = source
        self._timeout = timeout
        self.size_bytes = source.size_bytes

    async def read(self, offset: int, length: int) -> bytes:
        """Return the bytes of one range; the clock stands still meanwhile."""
        loop = asyncio.get_running_loop()
        deadline, began = self._timeout.when(), loop.time()
        if deadline is None:  # another read holds it already
            return await self._source.read(offset, length)
        self._timeout.reschedule(None)
        data = await self._source.read(offset, length)
        self._timeout.reschedule(deadline + loop.time() - began)
        return data


async def probe(source: RangedSource, *, sandbox: Sandbox) -> MediaInfo:
    """Probe one source with a child of its own (about 130 ms more than a warm one)."""
    async with WarmProber(sandbox, keep_warm=False) as prober:
        return await prober.probe(source)


def _warnings(boxes: TopLevel | None) -> tuple[str, ...]:
    if boxes is None or not boxes.trailing_bytes:
        return ()
    return (f"{boxes.trailing_bytes} bytes behind the last box are no part of the MP4",)
