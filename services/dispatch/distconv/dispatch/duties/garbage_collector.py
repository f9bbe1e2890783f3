"""Delete the objects of attempts that did not win."""

from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import DistconvError
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.objects.port import Objects
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import GarbageRecord

_log = structlog.get_logger()

_PAGE = 100
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

    async def run(self) -> datetime | None:
        """Delete what is due; return when the next deletion is."""
        while page := await self._store.list_due_garbage(self._clock.now(), limit=_PAGE):
            for garbage in page:
                await self._collect(garbage)
        return await self._store.get_next_garbage_time()

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
    if again is None:
        await change.tx.remove_garbage(garbage.object_id)
    else:
        await change.tx.put_garbage(replace(garbage, due_time=again))
