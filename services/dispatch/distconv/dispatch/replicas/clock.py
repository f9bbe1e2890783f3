"""The time that the replicas of one database agree on: the database's own.

Leases, delays and ttls are judged by whichever replica looks. Were each to go by
its own clock, one that is ahead would take the work of engines that another
heard a second ago, again and again.
"""

from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.dispatch.store.port import Store

_log = structlog.get_logger()

_INTERVAL = timedelta(seconds=5)
# An answer that took longer says too little of when the database's clock was read.
_LONGEST_TRIP = timedelta(seconds=1)
# Less is not followed: no lease depends on it, and time had better not move back and forth.
_TOLERANCE = timedelta(milliseconds=100)
# More is worth a word to whoever keeps the machines.
_WORTH_A_WORD = timedelta(seconds=1)


class FleetClock:
    """This machine's clock, put right by that of the database."""

    def __init__(self, own: Clock) -> None:
        self._own = own
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """Return the database's time, as far as it is known."""
        return self._own.now() + self.offset

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back."""
        return self._own.monotonic()

    def heard(self, asked: datetime, told: datetime, answered: datetime) -> None:
        """Follow the database's clock, which `told` the time between two times of this machine."""
        trip = answered - asked
        if not timedelta(0) <= trip <= _LONGEST_TRIP:
            return
        offset = told - (asked + trip / 2)
        if abs(offset - self.offset) <= _TOLERANCE + trip / 2:
            return
        self.offset = offset
        if abs(offset) > _WORTH_A_WORD:
            _log.warning(
                "clock_apart",
                ahead_s=round(-offset.total_seconds(), 1),
                why="this machine's clock differs from the database's, which is followed; "
                "let both be kept by NTP",
            )


class ClockKeeper:
    """Compare the clocks, again and again."""

    name = "clock_keeper"

    def __init__(self, store: Store, own: Clock, fleet: FleetClock) -> None:
        """`own` is this machine's clock, `fleet` the one that is put right."""
        self._store = store
        self._own = own
        self._fleet = fleet

    async def run(self) -> datetime | None:
        """Compare once; return when to do so again, None when the database has no clock."""
        asked = self._own.now()
        told = await self._store.read_clock()
        if told is None:
            return None
        self._fleet.heard(asked, told, self._own.now())
        return self._fleet.now() + _INTERVAL
