"""Keep no more of a stream in flight than its line needs."""

import asyncio

from distconv.core.credit import Credit
from distconv.rpc.limits import CHUNK_BYTES, MAX_CHUNK_BYTES

# As much as is ever in flight of one stream: a line of 1 Gbit/s and 250 ms holds as much.
MOST_BYTES = 32 * 1024 * 1024


class Pacer:
    """Let chunks go as the credit of one stream allows: a sender acquires, a reader grants."""

    def __init__(self, *, largest_chunk_bytes: int = MAX_CHUNK_BYTES) -> None:
        self._credit = Credit(
            CHUNK_BYTES, largest_chunk_bytes=largest_chunk_bytes, most_bytes=MOST_BYTES
        )
        self._moved = asyncio.Event()

    @property
    def in_flight_bytes(self) -> int:
        """Return how much was let go and is not known to be written."""
        return self._credit.in_flight_bytes

    @property
    def chunk_bytes(self) -> int:
        """Return how long chunks are to be from now on."""
        return self._credit.chunk_bytes

    async def acquire(self, size_bytes: int) -> None:
        """Wait until so much may go, and count it as in flight."""
        while not self._credit.allows(size_bytes):
            self._moved.clear()
            await self._moved.wait()
        self._credit.sent(size_bytes)

    def written(self, size_bytes: int) -> None:
        """Count so much as written by the receiver."""
        self._credit.written(size_bytes, asyncio.get_running_loop().time())
        self._moved.set()

    def grant(self) -> int:
        """Count what may come now as in flight, and return how much that is, bytes.

        For a reader, which allows the other side to send. 0 as long as it is less than a chunk,
        or an eighth: on a long line one message allows many chunks.
        """
        free = self._credit.limit_bytes - self._credit.in_flight_bytes
        if free < max(self._credit.chunk_bytes, self._credit.limit_bytes // 8):
            return 0
        self._credit.sent(free)
        return free
