"""Merge the heads of the lines into the order in which tasks are to be placed. Pure.

Ready tasks stand in lines, one per requirement set and urgency, each in the order
of fairness. A line ages by its head: with every `ageing_unit` that the head has
waited the whole line gains a point, so that it is served in the end whatever
comes in above it; fairness among the tasks of a line is left as it is.
"""

import heapq
from collections.abc import Iterator, Sequence
from datetime import datetime

from distconv.core.urgency import UrgencyPolicy, aged
from distconv.dispatch.store.queries import LineHead
from distconv.dispatch.store.records import TaskRecord

_Line = tuple[str, int]


def merged(
    heads: Sequence[TaskRecord], *, policy: UrgencyPolicy, now: datetime
) -> Iterator[TaskRecord]:
    """Yield tasks, the next one first: by effective urgency, then by (rank, id).

    `heads` are the first tasks of each line, each line's in its order.
    """
    lines: dict[_Line, list[TaskRecord]] = {}
    for task in heads:
        lines.setdefault((task.requirement, task.urgency), []).append(task)
    heap = [(*place_of(line[0], policy=policy, now=now), key) for key, line in lines.items()]
    heapq.heapify(heap)
    positions = dict.fromkeys(lines, 0)
    while heap:
        *_, key = heap[0]
        line, position = lines[key], positions[key] + 1
        yield line[position - 1]
        positions[key] = position
        if position < len(line):
            place = place_of(line[position], policy=policy, now=now)
            heapq.heapreplace(heap, (*place, key))
        else:
            heapq.heappop(heap)


def place_of(
    head: TaskRecord | LineHead, *, policy: UrgencyPolicy, now: datetime
) -> tuple[int, float, str]:
    """Return what the order over all lines is by: the least is next."""
    ready_time = head.ready_time or head.update_time
    effective = aged(policy, urgency=head.urgency, ready_time=ready_time, now=now)
    return -effective, head.rank, head.id
