"""Make tasks ready again whose retry is due."""

from datetime import datetime

from distconv.core.clock import Clock
from distconv.dispatch.lifecycle.concluding import Concluding
from distconv.dispatch.store.port import Store

_PAGE = 100


class RetryWaker:
    """End the delay of retries."""

    name = "retry_waker"

    def __init__(self, store: Store, concluding: Concluding, clock: Clock) -> None:
        self._store = store
        self._concluding = concluding
        self._clock = clock

    async def run(self) -> datetime | None:
        """Wake what is due; return when the next retry is."""
        while page := await self._store.list_due_retries(self._clock.now(), limit=_PAGE):
            for task in page:
                await self._concluding.resume_task(task.id)
        return await self._store.get_next_retry_time()
