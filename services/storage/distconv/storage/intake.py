"""One stream of chunks into an upload, and the acknowledgements that flow back meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import google_crc32c
import structlog

from distconv.core.errors import DataLossError
from distconv.core.ranges import Range, RangeSet
from distconv.rpc.limits import CHUNK_BYTES
from distconv.storage.providers.port import Piece, total
from distconv.storage.upload import Upload

_log = structlog.get_logger()
# Chunks of a few bytes cost more than their bytes: this bounds what a batch of them holds.
_BATCH_CHUNKS = 1024
# A hop to a thread costs the loop about as much as writing a chunk: chunks wait
# this long for company. It is hidden behind the sync that they wait for anyway.
_GATHER_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece as it arrived, with the checksum that its sender gave."""

    offset: int
    data: bytes
    crc32c: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What became of a stream's chunks since the last: ranges durable, and bytes written."""

    durable: list[Range]
    written_bytes: int


class Intake:
    """Take the chunks of one stream in batches.

    While one batch is written the next one gathers, up to `batch_bytes`; then
    the stream is not read any more, and gRPC's flow control holds the sender.
    """

    def __init__(
        self,
        upload: Upload,
        chunks: AsyncIterator[Chunk],
        *,
        batch_bytes: int,
        report_written: bool = False,
    ) -> None:
        """With `report_written` tell also what is written, before it is durable."""
        self._upload = upload
        self._chunks = chunks
        self._batch_bytes = batch_bytes
        self._report_written = report_written
        # A sender that is told what was written keeps little under way: it waits for the word.
        self._enough_bytes = (
            min(batch_bytes // 2, CHUNK_BYTES) if report_written else batch_bytes // 2
        )
        self._gathered: list[Piece] = []
        self._gathered_bytes = 0
        self._taken_bytes = 0
        self._unacknowledged: list[Range] = []
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._full = asyncio.Event()

    async def progress(self) -> AsyncGenerator[Progress, None]:
        """Yield what became of this stream's chunks, until all are durable.

        Raises the tree's errors; what arrived whole before a bad chunk is
        written and acknowledged first.
        """
        losses = self._upload.losses
        self._upload.watch(self._wake)
        self._upload.users += 1
        reader = asyncio.create_task(self._read(), name="intake")
        try:
            while not (reader.done() and not self._gathered):
                await self._gather(reader)
                written_bytes = await self._write()
                self._upload.require_kept(losses)
                if (done := self._take_durable()) or written_bytes:
                    yield Progress(durable=done, written_bytes=written_bytes)
            await self._upload.flush()
            if done := self._take_durable():
                yield Progress(durable=done, written_bytes=0)
            reader.result()
        finally:
            self._upload.users -= 1
            self._upload.unwatch(self._wake)
            _log.info("write_ended", upload=self._upload.id.name, taken_bytes=self._taken_bytes)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _gather(self, reader: "asyncio.Task[None]") -> None:
        """Wait for a reason to go on, and then for a batch worth a hop to a thread."""
        await self._wake.wait()
        self._wake.clear()
        if not self._gathered or reader.done():
            return
        try:
            async with asyncio.timeout(_GATHER_S):
                await self._full.wait()
        except TimeoutError:
            pass

    async def _read(self) -> None:
        try:
            async for chunk in self._chunks:
                self._check(chunk)
                while (
                    self._gathered_bytes >= self._batch_bytes
                    or len(self._gathered) >= _BATCH_CHUNKS
                ):
                    self._room.clear()
                    await self._room.wait()
                self._gathered.append((chunk.offset, chunk.data))
                self._gathered_bytes += len(chunk.data)
                self._wake.set()
                if self._gathered_bytes >= self._enough_bytes:
                    self._full.set()
        finally:
            # The generator looks whether this task is done: let it be, first.
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._full.set()
        self._wake.set()

    def _check(self, chunk: Chunk) -> None:
        self._upload.check_piece(chunk.offset, len(chunk.data))
        found = google_crc32c.value(chunk.data)
        if found != chunk.crc32c:
            raise DataLossError(
                f"the chunk at byte {chunk.offset} of {self._upload.id.name} arrived damaged "
                f"(CRC32C {found:08x} instead of {chunk.crc32c & 0xFFFFFFFF:08x}); send it again",
                metadata={"offset": str(chunk.offset)},
            )

    async def _write(self) -> int:
        """Write what has gathered; return how much of it is to be told of, bytes."""
        batch, self._gathered, self._gathered_bytes = self._gathered, [], 0
        self._full.clear()
        self._room.set()
        if batch:
            await self._upload.write(batch)
            self._taken_bytes += total(batch)
            self._unacknowledged += ((offset, offset + len(data)) for offset, data in batch)
        return total(batch) if self._report_written else 0

    def _take_durable(self) -> list[Range]:
        # Whole chunks only: a sender forgets a chunk when one range covers it.
        durable = self._upload.durable
        waiting = [r for r in self._unacknowledged if not durable.covers(*r)]
        if len(waiting) == len(self._unacknowledged):
            return []
        done = RangeSet(r for r in self._unacknowledged if durable.covers(*r))
        self._unacknowledged = waiting
        return list(done)
