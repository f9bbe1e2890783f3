"""Delete the objects of attempts that did not win."""

from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import DistconvError
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.duties.one_by_one import OneByOne
from distconv.dispatch.objects.port import Objects
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import GarbageRecord

_log = structlog.get_logger()

# So many deletions are asked for at once.
_AT_ONCE = 8
# Storage that does not answer is asked again so much later.
_RETRY = timedelta(seconds=30)


class GarbageCollector:
    """Delete what is due, once more when its last token has expired, and forget it then."""

    name = "garbage_collector"

    def __init__(self, store: Store, changes: Changes, objects: Objects, clock: Clock) -> None:
        self._store = store
        self._changes = changes
        self._objects = objects
        self._clock = clock
        self._each = OneByOne[GarbageRecord](
            self.name, clock, do=self._collect, key=lambda g: g.object_id, at_once=_AT_ONCE
        )

    async def run(self) -> datetime | None:
        """Delete what is due; return when the next deletion is."""
        await self._each.do_all_due(
            lambda limit: self._store.list_due_garbage(self._clock.now(), limit=limit)
        )
        return self._each.when(await self._store.get_next_garbage_time())

    async def _collect(self, garbage: GarbageRecord) -> None:
        now = self._clock.now()
        try:
            # Asked of the database: were this clock put forward, a token would hold on after it.
            told = await self._store.read_clock() or now
            await self._objects.delete(garbage.tenant, garbage.object_id)
            left = garbage.final_time - told
            again = now + left if left > timedelta(0) else None
        except DistconvError as error:
            _log.warning("garbage_kept", object=garbage.object_id, why=error.message)
            again = now + _RETRY
        await self._changes.make(lambda change: _note(change, garbage, again))


async def _note(change: Change, garbage: GarbageRecord, again: datetime | None) -> None:
    if await change.tx.get_garbage(garbage.object_id) != garbage:
        return  # someone asked for more meanwhile: it is due anew
    if again is None:
        await change.tx.remove_garbage(garbage.object_id)
    else:
        await change.tx.put_garbage(replace(garbage, due_time=again))
