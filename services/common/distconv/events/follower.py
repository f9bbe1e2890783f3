"""A live look at events: bounded, the oldest go first when the looker is slow."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from distconv.events.event import CloudEvent
from distconv.events.filter import EventFilter

_LIMIT = 4096


class Follower:
    """Pass on the events that are wanted."""

    def __init__(self, want: EventFilter) -> None:
        self._want = want
        self._waiting: deque[CloudEvent] = deque(maxlen=_LIMIT)
        self._some = asyncio.Event()

    def offer(self, event: CloudEvent) -> None:
        """Add an event if it is wanted."""
        if self._want.matches(event):
            self._waiting.append(event)
            self._some.set()

    async def events(self) -> AsyncIterator[CloudEvent]:
        """Yield events as they come, for ever."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            self._some.clear()
            await self._some.wait()
