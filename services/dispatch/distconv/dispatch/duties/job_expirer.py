"""Fail jobs that did not finish within their ttl."""

from datetime import datetime

from distconv.core.clock import Clock
from distconv.dispatch.duties.one_by_one import OneByOne
from distconv.dispatch.lifecycle.concluding import Concluding
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import JobRecord


class JobExpirer:
    """End jobs with reason EXPIRED."""

    name = "job_expirer"

    def __init__(self, store: Store, concluding: Concluding, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._each = OneByOne[JobRecord](
            self.name, clock, do=lambda job: concluding.expire(job.id), key=lambda job: job.id
        )

    async def run(self) -> datetime | None:
        """Expire what is due; return when the next ttl ends."""
        await self._each.do_all_due(
            lambda limit: self._store.list_expired_jobs(self._clock.now(), limit=limit)
        )
        return self._each.when(await self._store.get_next_job_expiry())
