"""Raise the urgency of tasks whose deadlines near."""

from datetime import datetime

import structlog

from distconv.core.clock import Clock
from distconv.core.task_states import TaskState
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.duties.one_by_one import OneByOne
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import TaskRecord

_log = structlog.get_logger()


class Promoter:
    """Move tasks into more urgent lines at the times that were worked out for them."""

    name = "promoter"

    def __init__(self, store: Store, changes: Changes, clock: Clock) -> None:
        self._store = store
        self._changes = changes
        self._clock = clock
        self._each = OneByOne[TaskRecord](
            self.name, clock, do=lambda task: self._promote(task.id), key=lambda task: task.id
        )

    async def run(self) -> datetime | None:
        """Promote what is due; return when the next is."""
        await self._each.do_all_due(
            lambda limit: self._store.list_due_promotions(self._clock.now(), limit=limit)
        )
        return self._each.when(await self._store.get_next_promote_time())

    async def _promote(self, task_id: str) -> None:
        moved = await self._changes.make(
            lambda change: _promote(change, task_id), keys=Keys(tasks=(task_id,))
        )
        if moved is not None and moved.state is TaskState.READY:
            _log.info(
                "task_promoted",
                job=moved.job_id,
                task=moved.id,
                urgency=moved.urgency,
                deadline=str(moved.deadline),
            )


async def _promote(change: Change, task_id: str) -> TaskRecord | None:
    task = await change.tx.get_task(task_id)
    if task is None or task.promote_time is None or task.promote_time > change.now:
        return None
    return await change.reprioritise(task, priority=task.priority, deadline=task.deadline)
