"""The bytes that may be on their way at once."""

import asyncio


class Window:
    """Lets at most `limit_bytes` be under way: taken when sent, released when acknowledged."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._taken = 0
        self._room = asyncio.Event()
        self._room.set()

    async def take(self, count: int) -> None:
        """Wait until `count` bytes may be sent, and count them as under way.

        One piece may always go, however large.
        """
        while self._taken and self._taken + count > self._limit:
            self._room.clear()
            await self._room.wait()
        self._taken += count

    async def drained(self) -> None:
        """Wait until nothing is under way."""
        while self._taken:
            self._room.clear()
            await self._room.wait()

    def release(self, count: int) -> None:
        """Count `count` bytes as arrived."""
        self._taken = max(0, self._taken - count)
        self._room.set()
