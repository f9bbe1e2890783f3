"""Notice that the database goes away and comes back, whether or not anyone asks for anything."""

from collections.abc import Callable
from datetime import datetime, timedelta

from distconv.core.clock import Clock
from distconv.core.errors import DistconvError
from distconv.dispatch.circuit import LOOK_INTERVAL, Circuit
from distconv.dispatch.store.port import Store

# While it is away: how late its return is noticed.
_WHILE_AWAY = timedelta(seconds=0.5)


class DatabaseMonitor:
    """Ask the database for something small, again and again."""

    name = "database_monitor"

    def __init__(
        self, store: Store, circuit: Circuit, clock: Clock, *, on_return: Callable[[], None]
    ) -> None:
        """`on_return` is called when the database is back: everyone has to look again."""
        self._store = store
        self._circuit = circuit
        self._clock = clock
        self._on_return = on_return

    async def run(self) -> datetime | None:
        """Ask once; return when to ask again."""
        try:
            await self._store.get_next_lease_expiry()
        except DistconvError as error:
            self._circuit.lost(error.message)
            return self._clock.now() + _WHILE_AWAY
        if self._circuit.answered():
            self._on_return()
        return self._clock.now() + LOOK_INTERVAL
