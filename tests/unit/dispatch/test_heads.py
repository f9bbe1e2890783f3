"""Reading what comes next gives what reading everything would give."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dispatch.placement.test_lines import NOW, PLAIN, POLICY

from distconv.dispatch.placement.lines import merged
from distconv.dispatch.scheduling.heads import next_tasks
from distconv.dispatch.store.memory import MemoryStore
from distconv.dispatch.store.queries import Line
from distconv.dispatch.store.records import TaskRecord


class CountingStore(MemoryStore):
    """A store that counts the tasks that were read of it."""

    def __init__(self, tasks: Sequence[TaskRecord]) -> None:
        super().__init__()
        self._t.tasks.update({task.id: task for task in tasks})
        self.read_count = 0

    async def list_ready_heads(self, *, lines: Sequence[Line], limit: int) -> Sequence[TaskRecord]:
        found = await super().list_ready_heads(lines=lines, limit=limit)
        if limit > 1:  # else the heads alone were asked for
            self.read_count += len(found)
        return found


ROWS = st.lists(
    st.tuples(st.sampled_from("xyz"), st.integers(-9, 9), st.floats(0, 100), st.floats(0, 5000)),
    max_size=120,
)


def lines_of(tasks: Sequence[TaskRecord]) -> list[Line]:
    return sorted({Line(task.requirement, task.urgency) for task in tasks})


@given(rows=ROWS, limit=st.integers(1, 12))
async def test_the_next_tasks_are_the_next_of_all(
    rows: list[tuple[str, int, float, float]], limit: int
):
    tasks = [
        replace(
            PLAIN,
            id=f"{k:03}",
            requirement=requirement,
            urgency=urgency,
            rank=rank,
            ready_time=NOW - timedelta(seconds=waited_s),
        )
        for k, (requirement, urgency, rank, waited_s) in enumerate(rows)
    ]
    store, lines = CountingStore(tasks), lines_of(tasks)
    everything = await store.list_ready_heads(lines=lines, limit=len(tasks) + 1)
    expected = [t.id for t in merged(everything, policy=POLICY, now=NOW)]
    found = await next_tasks(store, lines, limit=limit, policy=POLICY, now=NOW)
    ids = [task.id for task in found.tasks]
    assert ids[:limit] == expected[:limit]
    assert found.is_all == (len(tasks) < limit) or ids == expected


async def test_many_lines_cost_little_more_than_few():
    tasks = [
        replace(PLAIN, id=f"{u:03}-{k:03}", urgency=u, rank=float(k), ready_time=NOW)
        for u in range(200)
        for k in range(20)
    ]
    store = CountingStore(tasks)
    found = await next_tasks(store, lines_of(tasks), limit=9, policy=POLICY, now=NOW)
    assert [task.id for task in found.tasks[:9]] == [f"199-{k:03}" for k in range(9)]
    assert not found.is_all
    assert store.read_count <= 4 * 9
