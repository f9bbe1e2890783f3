"""Remember of each line when it was used and served, so that its row is written seldom."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from distconv.core.task_states import TaskState
from distconv.dispatch.store.queries import Line
from distconv.dispatch.store.records import TaskRecord
from distconv.dispatch.store.shelf import Written

# A line's `use_time` is renewed when it is older. What is younger is not forgotten by any
# replica (`remove_idle_lines` is asked with much longer spans), so it may be taken for known.
LINE_FRESHNESS = timedelta(minutes=10)
# So is `claim_time`: short against the time for which a line counts as served (`Front`).
_CLAIM_FRESHNESS = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class LineTimes:
    """When lines were used and served, as far as that is to be written."""

    used: dict[Line, datetime] = field(default_factory=dict)
    claimed: dict[Line, datetime] = field(default_factory=dict)


class LineBook:
    """What this process knows that the rows of the lines say."""

    def __init__(self) -> None:
        self._known = LineTimes()

    def worn(self, tasks: Iterable[Written[str, TaskRecord]]) -> LineTimes:
        """Return the lines that tasks came to or were taken from, unless they are fresh."""
        worn = LineTimes()
        for _, _, task, _ in tasks:
            if task is None:
                continue
            if task.state is TaskState.READY:
                _note(worn.used, self._known.used, task, LINE_FRESHNESS)
            elif task.state is TaskState.LEASED:
                _note(worn.claimed, self._known.claimed, task, _CLAIM_FRESHNESS)
        return worn

    def committed(self, times: LineTimes) -> None:
        """Note that lines are there for good."""
        self._known.used.update(times.used)
        self._known.claimed.update(times.claimed)


def rows(times: dict[Line, datetime]) -> Sequence[tuple[datetime, str, int]]:
    """Return times with the keys of their lines, in the order of the keys."""
    return [(time, line.requirement, line.urgency) for line, time in sorted(times.items())]


def _note(
    worn: dict[Line, datetime],
    known: dict[Line, datetime],
    task: TaskRecord,
    freshness: timedelta,
) -> None:
    line, time = Line(task.requirement, task.urgency), task.update_time
    before = known.get(line)
    if before is None or time - before > freshness:
        worn[line] = max(time, worn.get(line, time))
