"""What can be asked of the store: which records, in which order, from where on."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import NamedTuple

from distconv.core.engine import EngineState
from distconv.core.states import JobState
from distconv.core.task_states import TaskKind, TaskState
from distconv.dispatch.store.records import TaskRecord


class Line(NamedTuple):
    """Where READY tasks of one requirement set and one urgency wait, by (rank, id)."""

    requirement: str
    urgency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LineHead:
    """The first task of a line, and no more of it than its place depends on."""

    id: str
    requirement: str
    urgency: int
    rank: float
    ready_time: datetime | None
    update_time: datetime

    @property
    def line(self) -> Line:
        """Return the line that it is the head of."""
        return Line(self.requirement, self.urgency)


class Order(StrEnum):
    """The orders of a list of jobs. Ids sort by time, and break every tie.

    By `end_time` only jobs that have ended are listed.
    """

    NEWEST_FIRST = "create_time desc"
    OLDEST_FIRST = "create_time"
    HIGHEST_FIRST = "priority desc"
    LOWEST_FIRST = "priority"
    LAST_ENDED_FIRST = "end_time desc"
    FIRST_ENDED_FIRST = "end_time"

    @property
    def field(self) -> str:
        """Name the field of a job that is ordered by."""
        return self.value.partition(" ")[0]

    @property
    def is_descending(self) -> bool:
        """Tell whether the highest comes first."""
        return self.value.endswith(" desc")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Which jobs of a tenant to list; every condition narrows, None is any.

    `engine_id`: an attempt was made there. `terms`: all of these
    (`distconv.dispatch.store.terms`). `created_after` is inclusive,
    `created_before` is not. `after` and `after_value` are the id and the ordered
    field of the last job of the page before; orders by `create_time` need the id
    alone.
    """

    tenant: str
    states: frozenset[JobState] | None = None
    profile_name: str | None = None
    engine_id: str | None = None
    terms: tuple[str, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    show_deleted: bool = False
    order: Order = Order.NEWEST_FIRST
    after: str = ""
    after_value: datetime | int | None = None
    limit: int


class TaskOrder(Enum):
    """What a list of tasks is sorted by. Tasks are made with their job: all are orders in time."""

    PLAN = "ordinal"
    ID = "id"
    JOB = "the job's id, and then its own"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskQuery:
    """Which tasks of a tenant's jobs to list; every condition narrows, None is any.

    `engine_id`: an attempt was made there. `profile_name` and `terms` are of the
    tasks' jobs. `created_after` is inclusive, `created_before` is not. `after` and
    `after_value` are the id and what `place_of` says of the last task of the page
    before.
    """

    tenant: str
    job_id: str | None = None
    states: frozenset[TaskState] | None = None
    kinds: frozenset[TaskKind] | None = None
    engine_id: str | None = None
    profile_name: str | None = None
    terms: tuple[str, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    is_descending: bool = True
    after: str = ""
    after_value: int | str | None = None
    limit: int

    @property
    def order_field(self) -> TaskOrder:
        """Tell what tasks are sorted by: of one job by its plan."""
        if self.job_id is not None:
            return TaskOrder.PLAN
        if self.engine_id is not None or self.profile_name is not None or self.terms:
            return TaskOrder.JOB  # what serves the condition has its rows in this order
        return TaskOrder.ID

    def place_of(self, task: TaskRecord) -> int | str | None:
        """Return what a task is sorted by, beside its id."""
        match self.order_field:
            case TaskOrder.PLAN:
                return task.ordinal
            case TaskOrder.JOB:
                return task.job_id
            case _:
                return None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineQuery:
    """Which engines of a tenant to list, by id; `after` is the last id of the page before."""

    tenant: str
    states: frozenset[EngineState] | None = None
    after: str = ""
    limit: int
