"""Where hints wait for their reader: a bounded queue that drops the oldest."""

import asyncio
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One hint. `gap` says that hints before this one may have been lost."""

    topic: str
    data: bytes
    gap: bool = False


class Inbox:
    """Hold the newest hints for one reader."""

    def __init__(self, limit: int) -> None:
        """`limit` is how many wait at most, 1 or more."""
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=limit)
        self._gap = False
        self._some = asyncio.Event()
        self.dropped_count = 0

    def put(self, topic: str, data: bytes) -> None:
        """Add a hint, at the cost of the oldest when there is no room."""
        if len(self._waiting) == self._waiting.maxlen:
            self.dropped_count += 1
            self._gap = True
        self._waiting.append((topic, data))
        self._some.set()

    def mark_gap(self) -> None:
        """Note that hints may have been lost; the reader gets an empty message at once."""
        self._gap = True
        self._some.set()

    async def get(self) -> Message:
        """Wait for the next hint. After a loss the first has `gap`; its topic may be empty."""
        while True:
            if self._waiting or self._gap:
                topic, data = self._waiting.popleft() if self._waiting else ("", b"")
                message = Message(topic=topic, data=data, gap=self._gap)
                self._gap = False
                return message
            self._some.clear()
            await self._some.wait()
