"""What runs of dispatch besides its servers: duties, and what was set going for a moment."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog

from distconv.core.clock import Clock
from distconv.dispatch.duties.duty import Duty, keep

_log = structlog.get_logger()


class Background:
    """One task group; what is under way when it ends has `grace_s` seconds."""

    def __init__(self, clock: Clock, *, grace_s: float) -> None:
        self._clock = clock
        self._grace_s = grace_s
        self._tasks: asyncio.TaskGroup | None = None
        self._spawned: set[asyncio.Task[None]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None] | None":
        """Run a coroutine in the task group; None when it does not run any more.

        What it raises is logged and ends it alone.
        """
        guarded = _guarded(coroutine)
        if self._tasks is not None:
            try:
                task = self._tasks.create_task(guarded)
            except RuntimeError:  # the group is closing
                pass
            else:
                self._spawned.add(task)
                task.add_done_callback(self._spawned.discard)
                return task
        guarded.close()
        coroutine.close()
        return None

    @asynccontextmanager
    async def running(
        self,
        duties: Sequence[tuple[Duty, asyncio.Event]],
        others: Mapping[str, Coroutine[Any, Any, None]],
    ) -> AsyncIterator[None]:
        """Keep duties, each with what wakes it, and run `others` by name, while the block lasts."""
        kept = [(duty.name, keep(duty, wake, self._clock)) for duty, wake in duties]
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            keepers = [
                tasks.create_task(coroutine, name=name)
                for name, coroutine in [*kept, *others.items()]
            ]
            try:
                yield
            except Exception as error:  # noqa: BLE001  # raised below, outside the group
                failure = error
            finally:
                for keeper in keepers:
                    keeper.cancel()
                cutting = asyncio.get_running_loop().call_later(self._grace_s, self._cut_off)
        cutting.cancel()
        if failure is not None:
            raise failure  # as it is: a group would wrap it

    def _cut_off(self) -> None:
        for task in list(self._spawned):
            task.cancel()


async def _guarded(coroutine: Coroutine[Any, Any, None]) -> None:
    try:
        await coroutine
    except Exception:  # noqa: BLE001  # logged with its traceback; the process goes on
        _log.exception("task_failed")
