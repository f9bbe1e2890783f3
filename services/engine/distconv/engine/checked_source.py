"""Compare what is read of a source, in whatever order, with the blocks that were committed.

Whole digests are for what is read from its start to its end. An index that lies
last is read first, a file in a shared folder by the tool itself: there a bit that
changed on storage's disk would be seen by nobody.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

import google_crc32c
import structlog

from distconv.core.errors import DataLossError, DistconvError
from distconv.engine.block_sums import MIB, BlockSums
from distconv.engine.readings import Reading, Readings
from distconv.engine.source import Source
from distconv.engine.storage_link import StorageLink

_log = structlog.get_logger()


class CheckedSource:
    """A Source that sums what another one gives.

    A block that has been read whole is compared at once; `settle` compares
    the others, of which it reads the rest. A source on its way up has no
    blocks yet, and all of them are compared when it is committed. One that was
    stored before blocks were kept is read as it is. Memory: the caller's reads,
    and some 100 bytes for each MiB that was read and not compared yet.
    """

    def __init__(self, source: Source, link: StorageLink) -> None:
        self._source = source
        self._link = link
        self.size_bytes = source.size_bytes
        self._readings = Readings()
        self._blocks: BlockSums | None = None
        self._asking: asyncio.Task[None] | None = None

    @property
    def path(self) -> Path | None:
        """Return the file that it is here; None when it is none."""
        return self._source.path

    @property
    def waited(self) -> timedelta:
        """Return how long an upload under way was awaited."""
        return self._source.waited

    async def read(self, offset: int, length: int) -> bytes:
        """Return the bytes of one range, fewer only at the end of the source.

        Raises DataLossError when they complete a block that is not as it was committed.
        """
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name="blocks of the source")
        data = await self._source.read(offset, length)
        self._readings.take(offset, data)
        if self._blocks is not None and data:
            for index in self._blocks.within(offset, offset + len(data)):
                self._compare_whole(self._blocks, index)
        return data

    async def _ask(self) -> None:
        # It only makes damage known early: `settle` asks again, for as long as patience lasts.
        try:
            self._blocks = await self._link.blocks(self.size_bytes)
        except DistconvError as error:
            _log.debug("blocks_not_known", error=error.message)

    async def settle(self) -> str:
        """Wait until the source is committed, compare what was read; return its SHA-256.

        Raises DataLossError when that is not what was committed, and what
        reading raises.
        """
        sha256 = await self._source.settle()
        blocks = await self._known_blocks()
        if blocks is not None:
            touched = {place // blocks.block_bytes for place in self._readings.places()}
            await self._compare(blocks, sorted(touched))
        return sha256

    async def settle_whole(self) -> str:
        """Do as `settle` does, and compare all that was not read here too.

        For a file that something else reads: what it saw is what lies there.
        """
        sha256 = await self._source.settle()
        blocks = await self._known_blocks()
        if blocks is not None:
            await self._compare(blocks, range(len(blocks.crcs)), unread=True)
        return sha256

    async def _known_blocks(self) -> BlockSums | None:
        if self._blocks is None:
            self._blocks = await self._link.blocks(self.size_bytes, patient=True)
        return self._blocks

    def _compare_whole(self, blocks: BlockSums, index: int) -> None:
        crc = self._readings.take_whole(*blocks.span(index))
        if crc is not None and crc != blocks.crcs[index]:
            raise self._damaged(blocks, index)

    async def _compare(
        self, blocks: BlockSums, indexes: Iterable[int], *, unread: bool = False
    ) -> None:
        for index in indexes:
            self._compare_whole(blocks, index)
            readings = self._readings.take_rest(*blocks.span(index))
            if (readings or unread) and not await self._is_same(blocks, index, readings):
                raise self._damaged(blocks, index)

    async def _is_same(self, blocks: BlockSums, index: int, readings: Sequence[Reading]) -> bool:
        """Read a block, and tell whether it and what was read of it are what was committed."""
        start, end = blocks.span(index)
        crc, same = 0, True
        for at in range(start, end, MIB):
            data = await self._source.read(at, min(MIB, end - at))
            crc = google_crc32c.extend(crc, data)
            here = [reading for reading in readings if reading.start // MIB == at // MIB]
            same = same and all(
                google_crc32c.value(data[reading.start - at : reading.end - at]) == reading.crc
                for reading in here
            )
        return same and crc == blocks.crcs[index]

    def _damaged(self, blocks: BlockSums, index: int) -> DataLossError:
        start, end = blocks.span(index)
        return DataLossError(
            f"bytes {start} to {end - 1} of {self._link.grant.object_name} were read, and are not "
            "those that were committed; encode it again",
            metadata={"offset": str(start)},
        )

    async def close(self) -> None:
        """Let the source go."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await self._source.close()
