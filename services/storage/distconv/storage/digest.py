"""The digests of bytes that arrive in any order, as far as they are contiguous from the start."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence

from distconv.core.ranges import RangeSet
from distconv.rpc.limits import CHUNK_BYTES
from distconv.storage.blocks import Blocks, BlockSums
from distconv.storage.providers.port import Piece
from distconv.storage.threads import Threads

ReadBack = Callable[[int, int], Awaitable[bytes]]
"""Return the bytes (offset, length) that were written before."""

_READ_BACK_BYTES = 4 * 1024 * 1024
# Hashing so much (0.2 ms) costs less than handing it to a thread and waiting for that.
_INLINE_BYTES = CHUNK_BYTES


class FrontierDigest:
    """Hash bytes at the frontier as they arrive, and read back what arrived before its turn.

    The sums of the blocks are made of the very bytes that the SHA-256 is made of.
    """

    def __init__(self, threads: Threads, *, size_bytes: int = 0) -> None:
        """`size_bytes` is how much will come, 0 when that is not known."""
        self._threads = threads
        self._size_bytes = size_bytes
        self._hash = hashlib.sha256()
        self._sums = BlockSums(size_bytes)
        self.frontier = 0

    def reset(self) -> None:
        """Begin anew; what was hashed will be read back."""
        self._hash = hashlib.sha256()
        self._sums = BlockSums(self._size_bytes)
        self.frontier = 0

    async def feed(self, pieces: Sequence[Piece]) -> None:
        """Hash those of the pieces that continue at the frontier."""
        ready: list[memoryview] = []
        frontier = self.frontier
        for offset, data in sorted(pieces, key=lambda piece: piece[0]):
            if offset <= frontier < offset + len(data):
                ready.append(memoryview(data)[frontier - offset :])
                frontier = offset + len(data)
        await self._update(ready)
        self.frontier = frontier

    async def _update(self, parts: Sequence[memoryview | bytes]) -> None:
        if sum(map(len, parts)) <= _INLINE_BYTES:
            self._take(parts)
        else:
            await self._threads.run(self._take, parts)

    def _take(self, parts: Sequence[memoryview | bytes]) -> None:
        for part in parts:
            self._hash.update(part)
            self._sums.update(part)

    async def catch_up(self, written: RangeSet, read: ReadBack, *, limit_bytes: int) -> None:
        """Read back and hash at most `limit_bytes` of what lies written beyond the frontier."""
        end = min(written.end_of_run(self.frontier), self.frontier + limit_bytes)
        while self.frontier < end:
            data = await read(self.frontier, min(_READ_BACK_BYTES, end - self.frontier))
            if not data:
                return
            await self._update([data])
            self.frontier += len(data)

    def hexdigest(self) -> str:
        """Return the digest of the bytes up to the frontier."""
        return self._hash.hexdigest()

    def blocks(self) -> Blocks:
        """Return the checksums of the blocks of the bytes up to the frontier."""
        return self._sums.result()
