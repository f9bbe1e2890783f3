"""What a unit of work needs of a database transaction: to read and lock rows, and to write."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from distconv.dispatch.store.front import Front
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.queries import Line
from distconv.dispatch.store.records import (
    AccountRecord,
    AttemptRecord,
    BenchmarkRecord,
    EngineRecord,
    GarbageRecord,
    JobRecord,
    OutboxRecord,
    RequestRecord,
    SpeedRecord,
    TaskRecord,
    TransitionRecord,
)
from distconv.dispatch.store.shelf import Written

RequestKey = tuple[str, str]
AccountKey = tuple[str, int]
SpeedKey = tuple[str, str, int, str]


@dataclass(slots=True, kw_only=True)
class Loaded:
    """Rows that were read and locked, and leases that another change holds: read alone."""

    jobs: Sequence[JobRecord] = ()
    tasks: Sequence[TaskRecord] = ()
    attempts: Sequence[AttemptRecord] = ()
    engines: Sequence[EngineRecord] = ()
    accounts: Sequence[AccountRecord] = ()
    requests: Sequence[RequestRecord] = ()
    held_leases: Sequence[AttemptRecord] = ()
    garbage: Sequence[GarbageRecord] = ()


@dataclass(slots=True, kw_only=True)
class Writes:
    """Everything that a unit of work writes. Each list is in the order to write it in."""

    jobs: list[Written[str, JobRecord]] = field(default_factory=list)
    tasks: list[Written[str, TaskRecord]] = field(default_factory=list)
    attempts: list[Written[str, AttemptRecord]] = field(default_factory=list)
    engines: list[Written[str, EngineRecord]] = field(default_factory=list)
    accounts: list[Written[AccountKey, AccountRecord]] = field(default_factory=list)
    requests: list[Written[RequestKey, RequestRecord]] = field(default_factory=list)
    speeds: list[Written[SpeedKey, SpeedRecord]] = field(default_factory=list)
    garbage: list[Written[str, GarbageRecord]] = field(default_factory=list)
    transitions: list[TransitionRecord] = field(default_factory=list)
    events: list[OutboxRecord] = field(default_factory=list)
    benchmarks: list[BenchmarkRecord] = field(default_factory=list)
    removed_events: list[int] = field(default_factory=list)
    idle_lines: list[Line] = field(default_factory=list)


class Rows(Protocol):
    """One database transaction. Everything that is read is locked until it ends.

    `broken` tells that a statement failed: nothing can come of it any more.
    """

    broken: bool

    async def load(self, keys: Keys) -> Loaded:
        """Read what the keys name, with the jobs and tasks that belong to it."""
        ...

    async def load_tasks_of(self, job_ids: Sequence[str]) -> Sequence[TaskRecord]:
        """Read every task of jobs."""
        ...

    async def load_live_attempts(
        self, *, job_id: str = "", engine_id: str = ""
    ) -> Sequence[AttemptRecord]:
        """Read the live attempts of a job or of an engine."""
        ...

    async def load_expired_requests(self, now: datetime, limit: int) -> Sequence[RequestRecord]:
        """Read requests whose time has come, the longest expired first."""
        ...

    async def load_speed(self, key: SpeedKey) -> SpeedRecord | None:
        """Read how fast an engine has been."""
        ...

    async def load_readers(self, tenant: str, object_id: str) -> Sequence[str]:
        """Read the ids of the jobs that have not ended and whose source is the object; no lock."""
        ...

    async def load_idle_lines(self, unused_since: datetime) -> Sequence[Line]:
        """Read the lines without READY tasks that nobody used since."""
        ...

    async def claim(self, task_ids: Sequence[str]) -> Loaded:
        """Read those of the tasks that are READY, and their jobs; wait for no lock."""
        ...

    async def load_account(self, key: AccountKey) -> AccountRecord:
        """Read an account; one that there is no row for is made."""
        ...

    async def load_front(self, urgency: int) -> Front:
        """Read how far the tasks of an urgency have been served; locks nothing."""
        ...

    async def write(self, writes: Writes) -> None:
        """Write everything. Raises AlreadyExistsError."""
        ...
