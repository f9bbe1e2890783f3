"""Notice that work has stopped moving."""

import asyncio
import contextlib
from collections.abc import Iterator

from distconv.core.errors import StalledError


class Watchdog:
    """Raise StalledError when nothing has moved for `timeout_s`.

    Whatever moves calls `touch`. While somebody else is being waited for (the
    source has no bytes yet, the sink is full) the clock stands still.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._last = 0.0
        self._pauses = 0
        self._changed = asyncio.Event()

    def touch(self) -> None:
        """Say that something moved."""
        self._last = asyncio.get_running_loop().time()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock while inside."""
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1
            self.touch()
            self._changed.set()

    async def watch(self) -> None:
        """Watch until cancelled; raise StalledError on a stall."""
        loop = asyncio.get_running_loop()
        self.touch()
        while True:
            if self._pauses:
                self._changed.clear()
                await self._changed.wait()
                continue
            left = self._last + self._timeout_s - loop.time()
            if left <= 0:
                raise StalledError(
                    f"no progress in bytes or frames for {self._timeout_s:g} s: ended",
                    metadata={"timeout_s": f"{self._timeout_s:g}"},
                )
            await asyncio.sleep(left)
