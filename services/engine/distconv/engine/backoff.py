"""Pause between tries, each time twice as long."""

import asyncio
from collections.abc import Awaitable, Callable

Pause = Callable[[float], Awaitable[None]]
"""Pause for so many seconds."""

_FIRST_S = 0.1
_LONGEST_S = 5.0


class Backoff:
    """Count the pauses, until there were enough of them."""

    def __init__(self, limit_s: float, pause: Pause = asyncio.sleep) -> None:
        self._left_s = limit_s
        self._pause = pause
        self._next_s = _FIRST_S

    async def wait(self) -> bool:
        """Pause; return False at once when all pauses together have reached the limit."""
        if self._left_s <= 0:
            return False
        pause_s = min(self._next_s, self._left_s)
        self._left_s -= pause_s
        self._next_s = min(2 * self._next_s, _LONGEST_S)
        await self._pause(pause_s)
        return True
