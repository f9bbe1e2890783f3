"""Read of all that is ready what comes next, and no more than that takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from distconv.core.urgency import UrgencyPolicy
from distconv.dispatch.placement.lines import merged, place_of
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.queries import Line, LineHead
from distconv.dispatch.store.records import TaskRecord

# So few lines are read at once, each from its beginning: asking for their heads first costs more.
_FEW_LINES = 8
# Of more lines the first are read that the order of their heads names, then twice as many, up to
# so many at a time: each may be as long as what is wanted.
_FIRST_LINES = 4
_MOST_LINES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTasks:
    """The next tasks in their order; `is_all` says that nothing else is ready."""

    tasks: Sequence[TaskRecord]
    is_all: bool


async def next_tasks(
    store: Store, lines: Sequence[Line], *, limit: int, policy: UrgencyPolicy, now: datetime
) -> NextTasks:
    """Return the first `limit` ready tasks of lines, or some more, in the order to be placed.

    What it costs depends on `limit` and, little, on the number of lines, which
    grows with the priorities, deadlines and kinds of work in use.
    """
    if len(lines) <= _FEW_LINES:
        found = await store.list_ready_heads(lines=lines, limit=limit)
        return NextTasks(
            tasks=list(merged(found, policy=policy, now=now)), is_all=len(found) < limit
        )
    heads = sorted(
        await store.list_line_heads(lines=lines), key=lambda h: place_of(h, policy=policy, now=now)
    )
    return await _read(store, heads, limit=limit, policy=policy, now=now)


async def _read(
    store: Store, heads: Sequence[LineHead], *, limit: int, policy: UrgencyPolicy, now: datetime
) -> NextTasks:
    found: list[TaskRecord] = []
    position, width = 0, _FIRST_LINES
    while True:
        lines = [head.line for head in heads[position : position + width]]
        position, width = position + width, min(width * 2, _MOST_LINES)
        found += await store.list_ready_heads(lines=lines, limit=limit) if lines else ()
        tasks = list(merged(found, policy=policy, now=now))
        if position >= len(heads):
            return NextTasks(tasks=tasks, is_all=len(tasks) < limit)
        # What comes behind the head of a line that was not read is not known to be next.
        bound = place_of(heads[position], policy=policy, now=now)
        certain = [t for t in tasks if place_of(t, policy=policy, now=now) < bound]
        if len(certain) >= limit:
            return NextTasks(tasks=certain, is_all=False)
