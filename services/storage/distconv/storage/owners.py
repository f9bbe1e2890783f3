"""One owner for each object at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from distconv.core.errors import UnavailableError
from distconv.storage.names import Place


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class Owners:
    """Locks by object, kept only while somebody wants them."""

    def __init__(self) -> None:
        self._turns: dict[Place, _Turn] = {}
        self._closed = False

    def close(self) -> None:
        """Refuse whoever comes from now on."""
        self._closed = True

    @asynccontextmanager
    async def own(self, place: Place) -> AsyncIterator[None]:
        """Wait for one's turn. Raises UnavailableError when storage shuts down."""
        turn = self._turns.setdefault(place, _Turn())
        turn.waiting += 1
        try:
            async with turn.lock:
                if self._closed:
                    raise UnavailableError("storage is shutting down; try again")
                yield
        finally:
            turn.waiting -= 1
            if turn.waiting == 0:
                del self._turns[place]
