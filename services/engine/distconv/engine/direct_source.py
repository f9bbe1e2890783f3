"""Read a source from the bucket itself, by signed URLs, and through storage when that fails."""

import asyncio
import struct
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import google_crc32c
import structlog

from distconv.core.clock import Clock
from distconv.core.errors import (
    DataLossError,
    DistconvError,
    PermissionDeniedError,
    UnavailableError,
)
from distconv.engine.http_ranges import HttpRanges
from distconv.engine.source import StorageSource
from distconv.engine.storage_link import SignedUrl, StorageLink

_log = structlog.get_logger()
_CONNECTIONS = 4
# Blocks are held whole, until others have been read: as many as are fetched at a time.
_BLOCKS_HELD = 4
_TIMEOUT_S = 30.0
# Asked for anew so long before its end.
_RENEW_BEFORE = timedelta(seconds=60)
# A block that arrives damaged, or a URL that is refused, is tried once more.
_TRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blocks:
    """How a content is cut, and the CRC32C of each block."""

    block_bytes: int
    crcs: tuple[int, ...]


class DirectSource:
    """A RangedSource that fetches blocks over HTTP and checks each.

    Storage is asked for the URL. When it gives none (it lies on a disk, the
    source is still being uploaded, its settings forbid it), and from the first
    failure on that another try does not mend, everything goes through storage.
    Memory: at most `_BLOCKS_HELD` + `_CONNECTIONS` blocks of 1 to 16 MiB.
    """

    def __init__(self, storage: StorageSource, link: StorageLink, clock: Clock) -> None:
        self._storage = storage
        self._link = link
        self._clock = clock
        self.size_bytes = storage.size_bytes
        self._http = HttpRanges(connections=_CONNECTIONS, timeout_s=_TIMEOUT_S)
        self._url: SignedUrl | None = None
        self._blocks: _Blocks | None = None
        self._direct = True
        self._asking = asyncio.Lock()
        self._fetched: OrderedDict[int, asyncio.Task[bytes]] = OrderedDict()
        self.direct_bytes = 0

    @property
    def waited(self) -> timedelta:
        """Return how long an upload under way was awaited."""
        return self._storage.waited

    @property
    def path(self) -> Path | None:
        """Return None: it lies on no disk of this machine."""
        return None

    async def settle(self) -> str:
        """Wait until the source is committed; return its SHA-256."""
        return await self._storage.settle()

    async def read(self, offset: int, length: int) -> bytes:
        """Return the bytes of one range, fewer only at the end of the source."""
        length = min(length, self.size_bytes - offset)
        if length <= 0:
            return b""
        if self._direct:
            try:
                return await self._read(offset, offset + length)
            except DistconvError as error:
                self._give_up(error)
        return await self._storage.read(offset, length)

    def _give_up(self, error: DistconvError) -> None:
        if self._direct:
            self._direct = False
            _log.info(
                "direct_read_given_up", object=self._link.grant.object_name, why=error.message
            )

    async def _read(self, start: int, end: int) -> bytes:
        blocks = await self._known_blocks()
        first, last = start // blocks.block_bytes, (end - 1) // blocks.block_bytes
        tasks = [self._task(index, blocks) for index in range(first, last + 1)]
        if last + 1 < len(blocks.crcs):
            self._task(last + 1, blocks)  # ahead
        parts = []
        for index, task in enumerate(tasks, first):
            data = await asyncio.shield(task)
            begin = index * blocks.block_bytes
            parts.append(data[max(start - begin, 0) : end - begin])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _task(self, index: int, blocks: _Blocks) -> "asyncio.Task[bytes]":
        task = self._fetched.get(index)
        if task is None:
            task = asyncio.create_task(self._fetch(index, blocks), name=f"block {index}")
            task.add_done_callback(_retrieved)
            self._fetched[index] = task
        self._fetched.move_to_end(index)
        for old in list(self._fetched):
            if len(self._fetched) <= _BLOCKS_HELD:
                break
            if self._fetched[old].done():
                del self._fetched[old]
        return task

    async def _fetch(self, index: int, blocks: _Blocks) -> bytes:
        start = index * blocks.block_bytes
        end = min(start + blocks.block_bytes, self.size_bytes)
        for left in reversed(range(_TRIES)):
            url = await self._current_url()
            try:
                data = await self._http.fetch(url, start, end)
            except PermissionDeniedError:
                if not left:
                    raise
                self._url = None
            except UnavailableError:
                if not left:
                    raise
            else:
                if google_crc32c.value(data) == blocks.crcs[index]:
                    self.direct_bytes += len(data)
                    return data
        raise DataLossError(
            f"bytes {start} to {end - 1} of {self._link.grant.object_name} arrive damaged from "
            "its bucket"
        )

    async def _known_blocks(self) -> _Blocks:
        if self._blocks is None:
            await self._current_url()
        if self._blocks is None:
            raise UnavailableError("storage gave no checksums of blocks")
        return self._blocks

    async def _current_url(self) -> str:
        async with self._asking:
            if not self._direct:
                raise UnavailableError("reading past storage was given up")
            if self._url is None or self._ends_soon(self._url.expire_time):
                self._url = await self._link.url()
                self._blocks = self._understood(self._url)
            return self._url.url

    def _ends_soon(self, expire_time: datetime) -> bool:
        return expire_time - self._clock.now() < _RENEW_BEFORE

    def _understood(self, url: SignedUrl) -> _Blocks:
        count = -(-self.size_bytes // url.block_bytes) if url.block_bytes > 0 else -1
        if len(url.block_crc32c) != 4 * count:
            raise UnavailableError("storage gave no checksums of blocks that fit the source")
        crcs = struct.unpack(f">{count}I", url.block_crc32c)
        return _Blocks(block_bytes=url.block_bytes, crcs=crcs)

    async def close(self) -> None:
        """End what is under way, and the stream at storage."""
        for task in self._fetched.values():
            task.cancel()
        await asyncio.gather(*self._fetched.values(), return_exceptions=True)
        self._http.close()
        await self._storage.close()


def _retrieved(task: "asyncio.Task[bytes]") -> None:
    # One that was fetched ahead may fail with nobody waiting for it.
    if not task.cancelled():
        task.exception()
