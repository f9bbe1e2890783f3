"""The bytes of a transfer that were sent, or are about to be, and are not known to have arrived."""

import asyncio


class Window:
    """Lets at most `limit_bytes` be under way: taken before they go, released when they are there.

    Once it has failed, whoever waits for room, or takes more, gets the error.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.taken_bytes = 0
        self._moved = asyncio.Event()
        self._error: Exception | None = None

    def has_room(self, count: int) -> bool:
        """Say whether `count` bytes may go now. One piece may always, however large."""
        return not self.taken_bytes or self.taken_bytes + count <= self.limit_bytes

    async def take(self, count: int) -> None:
        """Wait until `count` bytes may go, and count them as under way.

        Raises the error it failed with.
        """
        self.check()
        while not self.has_room(count):
            await self._wait_moved()
        self.taken_bytes += count

    async def drained(self) -> None:
        """Wait until nothing is under way. Raises the error it failed with."""
        self.check()
        while self.taken_bytes:
            await self._wait_moved()

    def release(self, count: int) -> None:
        """Count `count` bytes as arrived."""
        self.taken_bytes = max(0, self.taken_bytes - count)
        self._moved.set()

    def fail(self, error: Exception) -> None:
        """Have nothing go any more."""
        self._error = error
        self._moved.set()

    def check(self) -> None:
        """Raise the error it failed with, if it has."""
        if self._error is not None:
            raise self._error

    async def _wait_moved(self) -> None:
        self._moved.clear()
        await self._moved.wait()
        self.check()
