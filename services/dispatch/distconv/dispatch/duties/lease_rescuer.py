"""Take leases away from engines that have been silent too long."""

from datetime import datetime

from distconv.core.clock import Clock
from distconv.dispatch.circuit import Circuit
from distconv.dispatch.duties.one_by_one import OneByOne
from distconv.dispatch.lifecycle.leasing import Leasing
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import AttemptRecord


class LeaseRescuer:
    """Give the tasks of expired leases back; it does not count as a retry.

    Not before this process and its database have been there for a whole lease:
    an engine that could not be heard was not silent.
    """

    name = "lease_rescuer"

    def __init__(self, store: Store, leasing: Leasing, clock: Clock, circuit: Circuit) -> None:
        self._store = store
        self._leasing = leasing
        self._clock = clock
        self._circuit = circuit
        self._each = OneByOne[AttemptRecord](
            self.name, clock, do=lambda a: leasing.expire(a.id), key=lambda a: a.id
        )

    async def run(self) -> datetime | None:
        """Rescue what is due; return when the next lease may end.

        No event tells of a new lease: it ends a lease's length from now at the
        earliest, and by then this has looked again.
        """
        latest = self._clock.now() + self._leasing.lease_duration
        if (later := self._circuit.wait_until(self._leasing.lease_duration)) is not None:
            return later
        await self._each.do_all_due(
            lambda limit: self._store.list_expired_leases(self._clock.now(), limit=limit)
        )
        due = self._each.when(await self._store.get_next_lease_expiry())
        return latest if due is None else min(due, latest)
