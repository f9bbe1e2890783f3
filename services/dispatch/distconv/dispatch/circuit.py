"""Whether the database answers, and since when without a break."""

import asyncio
from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import UnavailableError

_log = structlog.get_logger()


class Circuit:
    """Know what the last word of the database was.

    While it is away nothing may be concluded from silence: heartbeats could not
    be stored, so neither a lease nor an engine is taken for lost until the
    database has been there, and engines could be heard, for long enough again.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.doubted = asyncio.Event()
        self._steady_since = clock.now()
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
        if self._lost_time is None:
            self._lost_time = self._clock.now()
            _log.error("database_lost", why=why)

    def answered(self) -> bool:
        """Note that the database answered; True when it was away before."""
        if self._lost_time is None:
            return False
        now = self._clock.now()
        away_s = (now - self._lost_time).total_seconds()
        self._lost_time, self._steady_since = None, now
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
        now = self._clock.now()
        if self.is_open:
            return now + span
        steady = self._steady_since + span
        return steady if steady > now else None
