"""The rows of a store in memory, and the selections that reading and changing have in common."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from distconv.dispatch.store.queries import Line
from distconv.dispatch.store.records import (
    AccountRecord,
    AttemptRecord,
    BenchmarkRecord,
    EngineRecord,
    GarbageRecord,
    JobRecord,
    OutboxRecord,
    ReplicaRecord,
    RequestRecord,
    SpeedRecord,
    TaskRecord,
    TransitionRecord,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineUse:
    """When a task last came to stand in a line, and when one was last taken from it."""

    use_time: datetime
    claim_time: datetime | None = None


@dataclass(slots=True)
class Tables:
    """The rows."""

    jobs: dict[str, JobRecord] = field(default_factory=dict)
    tasks: dict[str, TaskRecord] = field(default_factory=dict)
    attempts: dict[str, AttemptRecord] = field(default_factory=dict)
    engines: dict[str, EngineRecord] = field(default_factory=dict)
    replicas: dict[str, ReplicaRecord] = field(default_factory=dict)
    requests: dict[tuple[str, str], RequestRecord] = field(default_factory=dict)
    garbage: dict[str, GarbageRecord] = field(default_factory=dict)
    lines: dict[Line, LineUse] = field(default_factory=dict)
    accounts: dict[tuple[str, int], AccountRecord] = field(default_factory=dict)
    speeds: dict[tuple[str, str, int, str], SpeedRecord] = field(default_factory=dict)
    benchmarks: list[BenchmarkRecord] = field(default_factory=list)
    transitions: list[TransitionRecord] = field(default_factory=list)
    events: dict[int, OutboxRecord] = field(default_factory=dict)
    event_count: int = 0


def heard(engine: EngineRecord) -> datetime:
    """Return when a present engine was last heard."""
    if engine.heartbeat_time is None:
        raise ValueError(f"engine {engine.id} was never heard")
    return engine.heartbeat_time


def turn(task: TaskRecord) -> tuple[int, float, str]:
    """Return what READY tasks are sorted by over all lines."""
    return (-task.urgency, task.rank, task.id)


def live(tables: Tables) -> Iterable[AttemptRecord]:
    """Return the attempts that hold a lease."""
    return (a for a in tables.attempts.values() if a.lease_expire_time is not None)


def expiry(attempt: AttemptRecord) -> datetime:
    """Return when a live attempt's lease ends."""
    if attempt.lease_expire_time is None:
        raise ValueError(f"attempt {attempt.id} has ended")
    return attempt.lease_expire_time


def by_time(attempts: Iterable[AttemptRecord]) -> list[AttemptRecord]:
    """Sort attempts, the oldest first."""
    return sorted(attempts, key=lambda a: (a.create_time, a.fencing_token, a.id))


def tasks_of(tables: Tables, job_id: str) -> list[TaskRecord]:
    """Return a job's tasks in the order of the plan."""
    return sorted((t for t in tables.tasks.values() if t.job_id == job_id), key=lambda t: t.ordinal)
