"""Make changes in groups, and tell whom they concern once they are committed."""

import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Generic, TypeVar

from distconv.core.clock import Clock
from distconv.core.ids import MakeId, new_id
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.group_commit import GroupCommit
from distconv.dispatch.changes.ready_queue import QueuePolicy
from distconv.dispatch.changes.signals import Effects, Signals
from distconv.dispatch.store.keys import NO_KEYS, Keys
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.transaction import Transaction

_T = TypeVar("_T")


class Changes:
    """Make changes; what they ask for is published once they are committed."""

    def __init__(
        self,
        store: Store,
        signals: Signals,
        clock: Clock,
        *,
        media_ttl: timedelta,
        make_id: MakeId = new_id,
        randomness: Callable[[], float] = random.random,
        queue_policy: QueuePolicy | None = None,
        require: Callable[[], None] = lambda: None,
    ) -> None:
        """`media_ttl` is how long the tokens of an assignment hold.

        `randomness` returns numbers in [0, 1) for the pauses between tries.
        `require` raises UnavailableError while no change can be made.
        """
        self._require = require
        # What was perhaps made is told of by nobody: everyone looks for himself.
        grouped = partial(GroupCommit, randomness=randomness, on_unclear=signals.wake_all)
        self._group, self._group_apart = grouped(store), grouped(store)
        self._signals = signals
        self._clock = clock
        self._media_ttl = media_ttl
        self._make_id = make_id
        self._queue_policy = queue_policy or QueuePolicy()

    async def make(
        self,
        fn: Callable[[Change], Awaitable[_T]],
        *,
        keys: Keys = NO_KEYS,
        patient: bool = True,
        apart: bool = False,
    ) -> _T:
        """Run `fn` on a change and return what it returns, once the change is committed.

        Whole or not at all: what `fn` raises undoes it. `fn` may run more than
        once, so it has no effect but on the change, and it makes no other change.
        `keys` are the ids of what it will read. Nothing comes between the commit
        and the signals, not even the cancellation of the caller.

        What another's lock stands in the way of raises ConflictError, after some
        tries when it is `patient`. What waits for no lock goes `apart`, in groups
        of its own: it need not come after what does.
        """
        self._require()
        group = self._group_apart if apart else self._group
        return await group.run(_Making(self, fn), keys, patient=patient)

    def start(self, tx: Transaction) -> Change:
        """Return a change of this instant."""
        return Change(
            tx=tx,
            now=self._clock.now(),
            media_ttl=self._media_ttl,
            make_id=self._make_id,
            queue_policy=self._queue_policy,
        )

    def publish(self, effects: Effects) -> None:
        """Tell everyone whom a committed change concerns."""
        self._signals.publish(effects)


class _Making(Generic[_T]):
    """A change on its way through the group."""

    def __init__(self, changes: Changes, fn: Callable[[Change], Awaitable[_T]]) -> None:
        self._changes = changes
        self._fn = fn
        self._effects = Effects()

    async def run(self, tx: Transaction) -> _T:
        change = self._changes.start(tx)
        self._effects = change.effects
        return await self._fn(change)

    def committed(self) -> None:
        self._changes.publish(self._effects)
