"""Pauses between tries: each twice as long as the last one, with jitter."""

import asyncio
from collections.abc import Callable

# Seconds.
_FIRST_S = 0.01
_LONGEST_S = 1.0


class Pauses:
    """The pauses of one who tries again and again."""

    def __init__(self, randomness: Callable[[], float]) -> None:
        """`randomness` returns numbers in [0, 1)."""
        self._randomness = randomness
        self._next_s = _FIRST_S

    async def make(self) -> None:
        """Pause for a while."""
        pause_s, self._next_s = self._next_s, min(self._next_s * 2, _LONGEST_S)
        await asyncio.sleep(pause_s * (1 + self._randomness()) / 2)
