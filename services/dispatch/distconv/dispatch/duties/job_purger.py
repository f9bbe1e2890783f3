"""Forget deleted jobs when their retention is over, and requests when theirs is."""

from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.duties.one_by_one import OneByOne
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import JobRecord

_log = structlog.get_logger()
_PAGE = 100
# Requests are forgotten in passing, this often at least; nobody waits for it.
_REQUESTS_EVERY = timedelta(hours=1)
_TICK = timedelta(milliseconds=1)


class JobPurger:
    """Remove deleted jobs with their tasks and history; their media is not touched."""

    name = "job_purger"

    def __init__(
        self, store: Store, changes: Changes, clock: Clock, *, retention: timedelta
    ) -> None:
        """`retention` is how long a deleted job stays readable."""
        self._store = store
        self._changes = changes
        self._clock = clock
        self._retention = retention
        self._each = OneByOne[JobRecord](
            self.name, clock, do=lambda job: self._forget(job.id), key=lambda job: job.id
        )

    async def run(self) -> datetime | None:
        """Purge what is due; return when the next is."""
        now = self._clock.now()
        await self._each.do_all_due(
            lambda limit: self._store.list_deleted_jobs(now - self._retention, limit=limit)
        )
        while True:
            if await self._changes.make(_forget_requests) < _PAGE:
                break
        deleted = await self._store.get_next_delete_time()
        due = now + _REQUESTS_EVERY
        # A moment after it: what was deleted exactly then is not yet due.
        if deleted is not None:
            due = min(due, deleted + self._retention + _TICK)
        return self._each.when(due)

    async def _forget(self, job_id: str) -> None:
        async def make(change: Change) -> None:
            await change.tx.remove_jobs([job_id])

        await self._changes.make(make)
        _log.info("job_purged", job=job_id)


async def _forget_requests(change: Change) -> int:
    return await change.tx.remove_expired_requests(change.now, limit=_PAGE)
