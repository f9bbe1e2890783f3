"""The queue of READY tasks, in memory."""

from collections import Counter
from collections.abc import Iterable, Sequence

from distconv.core.task_states import TaskState
from distconv.dispatch.store.memory_tables import Tables, turn
from distconv.dispatch.store.queries import Line, LineHead
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

    async def list_line_heads(self, *, lines: Sequence[Line]) -> Sequence[LineHead]:
        """Return the first READY task of each line."""
        heads = [
            LineHead(
                id=task.id,
                requirement=task.requirement,
                urgency=task.urgency,
                rank=task.rank,
                ready_time=task.ready_time,
                update_time=task.update_time,
            )
            for task in await self.list_ready_heads(lines=lines, limit=1)
        ]
        return sorted(heads, key=lambda head: head.line)

    async def list_ready_heads(self, *, lines: Sequence[Line], limit: int) -> Sequence[TaskRecord]:
        """Return the first tasks of the lines."""
        taken: Counter[Line] = Counter()
        heads = []
        wanted = set(lines)
        for task in sorted((t for t in self._ready() if _line(t) in wanted), key=_head):
            taken[_line(task)] += 1
            if taken[_line(task)] <= limit:
                heads.append(task)
        return heads

    async def count_ready_before(
        self, task: TaskRecord, *, requirements: Sequence[str], limit: int = 1000
    ) -> int:
        """Count READY tasks with one of the requirement sets that come before `task`."""
        before = sum(t.requirement in requirements and turn(t) < turn(task) for t in self._ready())
        return min(before, limit)

    def _ready(self) -> Iterable[TaskRecord]:
        return (t for t in self._t.tasks.values() if t.state is TaskState.READY)


def _line(task: TaskRecord) -> Line:
    return Line(task.requirement, task.urgency)


def _head(task: TaskRecord) -> tuple[int, str, float, str]:
    return (-task.urgency, task.requirement, task.rank, task.id)
