"""Clocks of the world and of its machines, none of which need be right."""

from datetime import UTC, datetime, timedelta

from tests.simulation.virtual_loop import VirtualLoop

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


class WorldClock:
    """A clock of one machine: `offset_s` is how far it is ahead of the world's time."""

    def __init__(self, loop: VirtualLoop, *, offset_s: float = 0.0) -> None:
        self._loop = loop
        self.offset_s = offset_s

    def now(self) -> datetime:
        """Return the wall-clock time that this machine believes in."""
        return EPOCH + timedelta(microseconds=int((self._loop.time() + self.offset_s) * 1e6))

    def monotonic(self) -> float:
        """Return the seconds since the beginning of the world."""
        return self._loop.time()
