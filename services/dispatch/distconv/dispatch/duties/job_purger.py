"""Forget deleted jobs when their retention is over, and requests when theirs is."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog

from distconv.core.clock import Clock
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.store.port import Store

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

    async def run(self) -> datetime | None:
        """Purge what is due; return when the next is."""
        now = self._clock.now()
        while page := await self._store.list_deleted_jobs(now - self._retention, limit=_PAGE):
            ids = [job.id for job in page]
            await self._changes.make(partial(_forget, job_ids=ids))
            _log.info("jobs_purged", count=len(page), first=page[0].id)
        while True:
            if await self._changes.make(_forget_requests) < _PAGE:
                break
        deleted = await self._store.get_next_delete_time()
        due = now + _REQUESTS_EVERY
        # A moment after it: what was deleted exactly then is not yet due.
        return due if deleted is None else min(due, deleted + self._retention + _TICK)


async def _forget(change: Change, *, job_ids: Sequence[str]) -> None:
    await change.tx.remove_jobs(job_ids)


async def _forget_requests(change: Change) -> int:
    return await change.tx.remove_expired_requests(change.now, limit=_PAGE)
