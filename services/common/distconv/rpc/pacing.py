"""Keep no more of a stream in flight than its line needs."""

import asyncio
from dataclasses import dataclass

from distconv.core.clock import Clock, SystemClock
from distconv.core.credit import Credit
from distconv.rpc.limits import CHUNK_BYTES, MAX_CHUNK_BYTES

# As much as is ever in flight of one stream: a line of 1 Gbit/s and 250 ms holds as much.
MOST_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a reader tells the other side: how much more may be sent, and how long chunks are to be.

    Bytes; 0 for nothing new.
    """

    credit_bytes: int = 0
    chunk_bytes: int = 0

    @property
    def is_empty(self) -> bool:
        """Say whether there is nothing to tell."""
        return not (self.credit_bytes or self.chunk_bytes)


class Pacer:
    """Let chunks go as the credit of one stream allows: a sender acquires, a reader grants."""

    def __init__(
        self, *, largest_chunk_bytes: int = MAX_CHUNK_BYTES, clock: Clock | None = None
    ) -> None:
        self._credit = Credit(
            CHUNK_BYTES, largest_chunk_bytes=largest_chunk_bytes, most_bytes=MOST_BYTES
        )
        self._clock = clock or SystemClock()
        self._moved = asyncio.Event()
        self._told_chunk_bytes = 0

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
        self._credit.written(size_bytes, self._clock.monotonic())
        self._moved.set()

    def grant(self) -> Grant:
        """Count what may come now as in flight, and return it, for a reader.

        Empty as long as it is less than a chunk, or an eighth: on a long line one message allows
        many chunks. That chunks are shorter from now on is told at once: the other side may wait
        for credit for a longer one, with enough for a shorter.
        """
        free = self._credit.limit_bytes - self._credit.in_flight_bytes
        if free < max(self.chunk_bytes, self._credit.limit_bytes // 8):
            free = 0
        self._credit.sent(free)
        if not free and self.chunk_bytes >= self._told_chunk_bytes:
            return Grant()
        self._told_chunk_bytes = self.chunk_bytes
        return Grant(credit_bytes=free, chunk_bytes=self.chunk_bytes)
