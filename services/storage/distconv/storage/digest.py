"""The SHA-256 of bytes that arrive in any order, as far as they are contiguous from the start."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence

from distconv.core.ranges import RangeSet
from distconv.storage.providers.port import Piece
from distconv.storage.threads import Threads

ReadBack = Callable[[int, int], Awaitable[bytes]]
"""Return the bytes (offset, length) that were written before."""

_READ_BACK_BYTES = 4 * 1024 * 1024
# Hashing less than this costs less than handing it to a thread.
_INLINE_BYTES = 64 * 1024


class FrontierDigest:
    """Hash bytes at the frontier as they arrive, and read back what arrived before its turn."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._hash = hashlib.sha256()
        self.frontier = 0

    def reset(self) -> None:
        """Begin anew; what was hashed will be read back."""
        self._hash = hashlib.sha256()
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
            _hash_all(self._hash.update, parts)
        else:
            await self._threads.run(_hash_all, self._hash.update, parts)

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


def _hash_all(
    update: Callable[[memoryview | bytes], None], parts: Sequence[memoryview | bytes]
) -> None:
    for part in parts:
        update(part)
