"""The queue of READY tasks, in memory."""

from collections import Counter
from collections.abc import Iterable, Sequence

from distconv.core.task_states import TaskState
from distconv.dispatch.store.memory_tables import Tables, turn
from distconv.dispatch.store.queries import Line
from distconv.dispatch.store.records import AccountRecord, TaskRecord


class MemoryQueue:
    """The part of a store that knows who waits, in which line."""

    _t: Tables

    async def list_accounts(self) -> Sequence[AccountRecord]:
        """Return every tenant's accounts in the fair queue."""
        return [row for _, row in sorted(self._t.accounts.items())]

    async def list_lines(self) -> Sequence[Line]:
        """Return the lines in which a READY task may stand."""
        return sorted(self._t.lines)

    async def list_requirements(self) -> Sequence[str]:
        """Return the requirement sets of the lines."""
        return sorted({line.requirement for line in self._t.lines})

    async def list_ready_heads(
        self, *, requirements: Sequence[str], limit: int
    ) -> Sequence[TaskRecord]:
        """Return the heads of the lines."""
        taken: Counter[Line] = Counter()
        heads = []
        for task in sorted((t for t in self._ready() if t.requirement in requirements), key=_head):
            line = Line(task.requirement, task.urgency)
            taken[line] += 1
            if taken[line] <= limit:
                heads.append(task)
        return heads

    async def list_ready_tasks(
        self, *, requirements: Sequence[str], limit: int
    ) -> Sequence[TaskRecord]:
        """Return the next READY tasks."""
        ready = [t for t in self._ready() if t.requirement in requirements]
        return sorted(ready, key=turn)[:limit]

    async def count_ready_before(
        self, task: TaskRecord, *, requirements: Sequence[str], limit: int = 1000
    ) -> int:
        """Count READY tasks with one of the requirement sets that come before `task`."""
        before = sum(t.requirement in requirements and turn(t) < turn(task) for t in self._ready())
        return min(before, limit)

    def _ready(self) -> Iterable[TaskRecord]:
        return (t for t in self._t.tasks.values() if t.state is TaskState.READY)


def _head(task: TaskRecord) -> tuple[int, str, float, str]:
    return (-task.urgency, task.requirement, task.rank, task.id)
