"""Fail jobs that did not finish within their ttl."""

from datetime import datetime

from distconv.core.clock import Clock
from distconv.dispatch.lifecycle.concluding import Concluding
from distconv.dispatch.store.port import Store

_PAGE = 100


class JobExpirer:
    """End jobs with reason EXPIRED."""

    name = "job_expirer"

    def __init__(self, store: Store, concluding: Concluding, clock: Clock) -> None:
        self._store = store
        self._concluding = concluding
        self._clock = clock

    async def run(self) -> datetime | None:
        """Expire what is due; return when the next ttl ends."""
        while page := await self._store.list_expired_jobs(self._clock.now(), limit=_PAGE):
            for job in page:
                await self._concluding.expire(job.id)
        return await self._store.get_next_job_expiry()
