"""Whether the database answers, and since when without a break."""

import asyncio
from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import UnavailableError

_log = structlog.get_logger()

# How often the monitor asks the database, and looks here.
LOOK_INTERVAL = timedelta(seconds=2)
# The monitor's question may take a little longer than its interval. Who has not come to look
# for longer was frozen, or its clock was put forward.
_STANDSTILL_S = 3 * LOOK_INTERVAL.total_seconds()


class Circuit:
    """Know what the last word of the database was.

    While it is away nothing may be concluded from silence: heartbeats could not
    be stored, so neither a lease nor an engine is taken for lost until the
    database has been there, and engines could be heard, for long enough again.
    The same holds for a process that stood still (SIGSTOP, a virtual machine that
    was moved, a laptop's sleep): it heard nobody either.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.doubted = asyncio.Event()
        self._steady_since = clock.monotonic()
        self._last_look = (clock.now(), clock.monotonic())
        self._lost_time: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether the database is away."""
        return self._lost_time is not None

    def doubt(self, why: str) -> None:
        """Note that someone got no answer: the monitor looks at once. `why` is for the log.

        A single failure says little; only the monitor's own question opens the circuit.
        """
        if not self.is_open:
            _log.info("database_doubted", why=why)
        self.doubted.set()

    def lost(self, why: str) -> None:
        """Note that the database did not answer the monitor; `why` is for the log."""
        self.look()
        if self._lost_time is None:
            self._lost_time = self._clock.now()
            _log.error("database_lost", why=why)

    def answered(self) -> bool:
        """Note that the database answered; True when it was away before."""
        self.look()
        if self._lost_time is None:
            return False
        away_s = (self._clock.now() - self._lost_time).total_seconds()
        self._lost_time, self._steady_since = None, self._clock.monotonic()
        _log.warning("database_back", away_s=round(away_s, 1))
        return True

    def require(self) -> None:
        """Raise UnavailableError while the database is away."""
        if self._lost_time is not None:
            away_s = (self._clock.now() - self._lost_time).total_seconds()
            raise UnavailableError(
                f"the database has been away for {away_s:.0f} s; nothing was changed, and engines "
                "go on with what they do. Try again in a moment"
            )

    def wait_until(self, span: timedelta) -> datetime | None:
        """Return when silence of `span` will mean something; None when it does already."""
        self.look()
        now = self._clock.now()
        if self.is_open:
            return now + span
        steady = timedelta(seconds=self._clock.monotonic() - self._steady_since)
        return now + (span - steady) if steady < span else None

    def look(self) -> None:
        """Note that this process runs; begin to count anew when it has not for a while.

        The wall clock is asked too: the other one does not go on while a machine sleeps.
        """
        now, monotonic = self._clock.now(), self._clock.monotonic()
        last_now, last_monotonic = self._last_look
        self._last_look = (now, monotonic)
        gap_s = max((now - last_now).total_seconds(), monotonic - last_monotonic)
        if gap_s > _STANDSTILL_S:
            self._steady_since = monotonic
            _log.warning("stood_still", span_s=round(gap_s, 1))
