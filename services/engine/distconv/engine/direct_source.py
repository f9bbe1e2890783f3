"""Read a source from the bucket itself, by signed URLs, and through storage when that fails."""

import asyncio
from datetime import datetime, timedelta
from functools import partial
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
from distconv.engine.block_sums import BlockSums
from distconv.engine.held_blocks import HeldBlocks
from distconv.engine.http_pool import SilentStoreError
from distconv.engine.http_ranges import HttpRanges
from distconv.engine.source import StorageSource
from distconv.engine.storage_link import SignedUrl, StorageLink

_log = structlog.get_logger()
_CONNECTIONS = 4
_TIMEOUT_S = 30.0
# Asked for anew so long before its end.
_RENEW_BEFORE = timedelta(seconds=60)
# A block that arrives damaged, or a URL that is refused, is tried once more.
_TRIES = 2


class DirectSource:
    """A RangedSource that fetches blocks over HTTP and checks each.

    Storage is asked for the URL. When it gives none (it lies on a disk, the
    source is still being uploaded, its settings forbid it), and from the first
    failure on that another try does not mend, everything goes through storage.
    Memory: the blocks that are fetched and kept, `budget_bytes` in all, of
    which each has 1 to 16 MiB.
    """

    def __init__(
        self, storage: StorageSource, link: StorageLink, clock: Clock, *, budget_bytes: int
    ) -> None:
        self._budget_bytes = budget_bytes
        self._storage = storage
        self._link = link
        self._clock = clock
        self.size_bytes = storage.size_bytes
        self._http = HttpRanges(connections=_CONNECTIONS, timeout_s=_TIMEOUT_S)
        self._url: SignedUrl | None = None
        self._blocks: BlockSums | None = None
        self._held: HeldBlocks | None = None
        self._direct = True
        self._asking = asyncio.Lock()
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
        blocks, held = await self._known_blocks()
        wanted = blocks.within(start, end)
        following = min(wanted.stop + 1, len(blocks.crcs))
        parts = []
        for index in wanted:
            begin, _ = blocks.span(index)
            ahead = range(index + 1, following)
            parts.append(await held.part(index, max(start - begin, 0), end - begin, ahead=ahead))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _fetch(self, blocks: BlockSums, index: int) -> bytes:
        start, end = blocks.span(index)
        for left in reversed(range(_TRIES)):
            url = await self._current_url()
            try:
                data = await self._http.fetch(url, start, end)
            except PermissionDeniedError:
                if not left:
                    raise
                self._url = None
            except SilentStoreError:
                raise
            except UnavailableError:
                if not left:
                    raise
            else:
                if google_crc32c.value(data) == blocks.crcs[index]:
                    self.direct_bytes += len(data)
                    return data
                del data  # it counts no more, and another is to come
        raise DataLossError(
            f"bytes {start} to {end - 1} of {self._link.grant.object_name} arrive damaged from "
            "its bucket"
        )

    async def _known_blocks(self) -> tuple[BlockSums, HeldBlocks]:
        if self._blocks is None:
            await self._current_url()
        if self._blocks is None:
            raise UnavailableError("storage gave no checksums of blocks")
        if self._held is None:
            self._held = HeldBlocks(
                partial(self._fetch, self._blocks),
                block_bytes=self._blocks.block_bytes,
                budget_bytes=self._budget_bytes,
            )
        return self._blocks, self._held

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

    def _understood(self, url: SignedUrl) -> BlockSums:
        blocks = BlockSums.unpack(self.size_bytes, url.block_bytes, url.block_crc32c)
        if blocks is None:
            raise UnavailableError("storage gave no checksums of blocks that fit the source")
        return blocks

    async def close(self) -> None:
        """End what is under way, and the stream at storage."""
        if self._held is not None:
            await self._held.close()
        self._http.close()
        await self._storage.close()
