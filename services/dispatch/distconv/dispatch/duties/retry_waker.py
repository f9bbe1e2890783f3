"""Make tasks ready again whose retry is due."""

from datetime import datetime

from distconv.core.clock import Clock
from distconv.dispatch.duties.one_by_one import OneByOne
from distconv.dispatch.lifecycle.concluding import Concluding
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import TaskRecord


class RetryWaker:
    """End the delay of retries."""

    name = "retry_waker"

    def __init__(self, store: Store, concluding: Concluding, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._each = OneByOne[TaskRecord](
            self.name, clock, do=lambda t: concluding.resume_task(t.id), key=lambda t: t.id
        )

    async def run(self) -> datetime | None:
        """Wake what is due; return when the next retry is."""
        await self._each.do_all_due(
            lambda limit: self._store.list_due_retries(self._clock.now(), limit=limit)
        )
        return self._each.when(await self._store.get_next_retry_time())
