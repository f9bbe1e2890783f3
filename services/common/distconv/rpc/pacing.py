"""Keep no more of a stream on its way than its line needs."""

import asyncio

from distconv.core.credit import Credit
from distconv.rpc.limits import CHUNK_BYTES
from distconv.v1 import storage_service_pb2 as pb

# A line of 1 Gbit/s and 250 ms holds as much.
_MOST_BYTES = 32 * 1024 * 1024


class Pacer:
    """Let chunks go as the credit of the stream allows; of one stream, and one sender."""

    def __init__(self) -> None:
        self._credit = Credit(CHUNK_BYTES, most_bytes=_MOST_BYTES)
        self._moved = asyncio.Event()
        self._reports_taken = False

    @property
    def under_way_bytes(self) -> int:
        """Return how much was let go and has not arrived."""
        return self._credit.under_way_bytes

    @property
    def limit_bytes(self) -> int:
        """Return how much may be under way now."""
        return self._credit.limit_bytes

    async def let_go(self, count: int) -> None:
        """Wait until `count` bytes may go, and count them as under way."""
        while not self._credit.allows(count):
            self._moved.clear()
            await self._moved.wait()
        self._credit.send(count, asyncio.get_running_loop().time())

    def arrived(self, count: int) -> None:
        """Count `count` bytes as arrived."""
        self._credit.arrive(count, asyncio.get_running_loop().time())
        self._moved.set()

    def answered(self, response: pb.WriteResponse) -> None:
        """Count as arrived what storage tells of a stream that asks it to report what it took."""
        if response.taken_bytes:
            self._reports_taken = True
            self.arrived(response.taken_bytes)
        elif not self._reports_taken:  # an older storage, which tells only what is durable
            for durable in response.acknowledged:
                self.arrived(durable.length)

    def extend(self) -> int:
        """Count what may come now as under way, and return how much that is, bytes.

        For a reader, which allows the other side to send. 0 as long as it is less than a chunk,
        or an eighth: on a long line one message allows many chunks.
        """
        free = self._credit.limit_bytes - self._credit.under_way_bytes
        if free < max(CHUNK_BYTES, self._credit.limit_bytes // 8):
            return 0
        now = asyncio.get_running_loop().time()
        for start in range(0, free, CHUNK_BYTES):  # as it will come: each is measured
            self._credit.send(min(CHUNK_BYTES, free - start), now)
        return free
