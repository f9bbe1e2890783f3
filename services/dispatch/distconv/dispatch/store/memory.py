"""A store in memory: for tests and simulation. Nothing outlives the process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from distconv.core.engine import EngineState
from distconv.core.task_states import TaskState
from distconv.dispatch.store.records import (
    AttemptRecord,
    EngineQuery,
    EngineRecord,
    GarbageRecord,
    JobQuery,
    JobRecord,
    Order,
    OutboxRecord,
    RequestRecord,
    TaskRecord,
    TransitionRecord,
)

_T = TypeVar("_T")
_Undo = Callable[[], None]


@dataclass(slots=True)
class _Tables:
    """The rows, and how to undo what the present transaction did to them."""

    jobs: dict[str, JobRecord] = field(default_factory=dict)
    tasks: dict[str, TaskRecord] = field(default_factory=dict)
    attempts: dict[str, AttemptRecord] = field(default_factory=dict)
    engines: dict[str, EngineRecord] = field(default_factory=dict)
    requests: dict[tuple[str, str], RequestRecord] = field(default_factory=dict)
    garbage: dict[str, GarbageRecord] = field(default_factory=dict)
    requirements: dict[str, None] = field(default_factory=dict)
    transitions: list[TransitionRecord] = field(default_factory=list)
    events: list[OutboxRecord] = field(default_factory=list)
    undo: list[_Undo] = field(default_factory=list)

    def put(self, table: dict[Any, Any], key: Hashable, value: object) -> None:
        if key in table:
            old = table[key]
            self.undo.append(lambda: table.__setitem__(key, old))
        else:
            self.undo.append(lambda: table.__delitem__(key))
        table[key] = value

    def insert(self, table: dict[Any, Any], key: Hashable, value: object) -> None:
        if key in table:
            raise ValueError(f"{key!r} stands already")
        self.put(table, key, value)

    def remove(self, table: dict[Any, Any], key: Hashable) -> None:
        if key in table:
            old = table.pop(key)
            self.undo.append(lambda: table.__setitem__(key, old))

    def append(self, table: list[_T], value: _T) -> None:
        table.append(value)
        self.undo.append(lambda: table.__delitem__(-1))


class MemoryTransaction:
    """One change to a MemoryStore."""

    def __init__(self, tables: _Tables) -> None:
        self._t = tables

    async def get_job(self, job_id: str) -> JobRecord | None:
        """Return a job."""
        return self._t.jobs.get(job_id)

    async def get_task(self, task_id: str) -> TaskRecord | None:
        """Return a task."""
        return self._t.tasks.get(task_id)

    async def get_claimable_task(self, task_id: str) -> TaskRecord | None:
        """Return a task that is READY."""
        task = self._t.tasks.get(task_id)
        return task if task is not None and task.state is TaskState.READY else None

    async def get_attempt(self, attempt_id: str) -> AttemptRecord | None:
        """Return an attempt."""
        return self._t.attempts.get(attempt_id)

    async def get_engine(self, engine_id: str) -> EngineRecord | None:
        """Return an engine."""
        return self._t.engines.get(engine_id)

    async def get_request(self, tenant: str, request_id: str) -> RequestRecord | None:
        """Return what a request id was used for."""
        return self._t.requests.get((tenant, request_id))

    async def list_tasks(self, job_id: str) -> Sequence[TaskRecord]:
        """Return a job's tasks in the order of the plan."""
        return _tasks_of(self._t, job_id)

    async def list_live_attempts(
        self, *, job_id: str = "", engine_id: str = ""
    ) -> Sequence[AttemptRecord]:
        """Return the live attempts of a job or of an engine."""
        return _by_time(
            a
            for a in _live(self._t)
            if (job_id and a.job_id == job_id) or (engine_id and a.engine_id == engine_id)
        )

    async def renew_leases(
        self, *, engine_id: str, tokens: dict[str, int], expire_time: datetime
    ) -> Sequence[AttemptRecord]:
        """Push on the leases that still hold."""
        renewed = []
        for attempt in [self._t.attempts.get(key) for key in tokens]:
            if (
                attempt is None
                or attempt.lease_expire_time is None
                or attempt.engine_id != engine_id
                or attempt.fencing_token != tokens[attempt.id]
            ):
                continue
            later = max(attempt.lease_expire_time, expire_time)
            held = replace(attempt, lease_expire_time=later)
            self._t.put(self._t.attempts, held.id, held)
            renewed.append(held)
        return renewed

    async def extend_leases(self, *, expire_time: datetime) -> int:
        """Push every earlier expiry on."""
        early = [a for a in _live(self._t) if _expiry(a) < expire_time]
        for attempt in early:
            self._t.put(
                self._t.attempts, attempt.id, replace(attempt, lease_expire_time=expire_time)
            )
        return len(early)

    async def take_engines_offline(self) -> int:
        """Mark every engine as OFFLINE."""
        kept = (EngineState.OFFLINE, EngineState.REVOKED)
        present = [e for e in self._t.engines.values() if e.state not in kept]
        for engine in present:
            offline = replace(engine, state=EngineState.OFFLINE, session_id="", connect_time=None)
            self._t.put(self._t.engines, engine.id, offline)
        return len(present)

    async def add_job(self, job: JobRecord) -> None:
        """Insert a job."""
        self._t.insert(self._t.jobs, job.id, job)

    async def add_task(self, task: TaskRecord) -> None:
        """Insert a task."""
        self._t.put(self._t.requirements, task.requirement, None)
        self._t.insert(self._t.tasks, task.id, task)

    async def add_attempt(self, attempt: AttemptRecord) -> None:
        """Insert an attempt."""
        self._t.insert(self._t.attempts, attempt.id, attempt)

    async def add_transition(self, transition: TransitionRecord) -> None:
        """Append to a job's history."""
        self._t.append(self._t.transitions, transition)

    async def add_event(self, event: OutboxRecord) -> None:
        """Append to the outbox."""
        self._t.append(self._t.events, event)

    async def add_request(self, request: RequestRecord) -> None:
        """Insert what a request id was used for."""
        self._t.insert(self._t.requests, (request.tenant, request.request_id), request)

    async def save_job(self, job: JobRecord) -> None:
        """Replace a job."""
        self._t.put(self._t.jobs, job.id, job)

    async def save_task(self, task: TaskRecord) -> None:
        """Replace a task."""
        self._t.put(self._t.tasks, task.id, task)

    async def save_attempt(self, attempt: AttemptRecord) -> None:
        """Replace an attempt."""
        self._t.put(self._t.attempts, attempt.id, attempt)

    async def put_engine(self, engine: EngineRecord) -> None:
        """Insert or replace an engine."""
        self._t.put(self._t.engines, engine.id, engine)

    async def put_garbage(self, garbage: GarbageRecord) -> None:
        """Insert or replace an object to delete."""
        self._t.put(self._t.garbage, garbage.object_id, garbage)

    async def remove_garbage(self, object_id: str) -> None:
        """Forget an object to delete."""
        self._t.remove(self._t.garbage, object_id)


class MemoryStore:
    """Keep everything in dictionaries; transactions run one after another."""

    def __init__(self) -> None:
        self._t = _Tables()
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        """Do nothing."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryTransaction]:
        """Begin a change; undone when the block raises."""
        async with self._lock:
            self._t.undo.clear()
            try:
                yield MemoryTransaction(self._t)
            except BaseException:
                for step in reversed(self._t.undo):
                    step()
                raise

    async def get_job(self, job_id: str) -> JobRecord | None:
        """Return a job."""
        return self._t.jobs.get(job_id)

    async def find_jobs(self, tenant: str, prefix: str, *, limit: int = 2) -> Sequence[JobRecord]:
        """Return the tenant's jobs whose ids begin with `prefix`."""
        found = [j for j in self._t.jobs.values() if j.tenant == tenant and j.id.startswith(prefix)]
        return sorted(found, key=lambda j: j.id)[:limit]

    async def list_jobs(self, query: JobQuery) -> Sequence[JobRecord]:
        """Return a page of jobs."""
        newest = query.order is Order.NEWEST_FIRST
        jobs = sorted(self._matches(query), key=lambda j: j.id, reverse=newest)
        if query.after:
            jobs = [j for j in jobs if (j.id < query.after if newest else j.id > query.after)]
        return jobs[: query.limit]

    async def count_jobs(self, query: JobQuery) -> int:
        """Count the matches of a query."""
        return sum(1 for _ in self._matches(query))

    def _matches(self, query: JobQuery) -> Iterable[JobRecord]:
        return (
            j
            for j in self._t.jobs.values()
            if j.tenant == query.tenant
            and j.delete_time is None
            and (query.states is None or j.state in query.states)
            and (query.profile_name is None or j.profile_name == query.profile_name)
        )

    async def list_tasks(self, job_id: str) -> Sequence[TaskRecord]:
        """Return a job's tasks in the order of the plan."""
        return _tasks_of(self._t, job_id)

    async def list_attempts(self, job_id: str) -> Sequence[AttemptRecord]:
        """Return every attempt at a job's tasks."""
        return _by_time(a for a in self._t.attempts.values() if a.job_id == job_id)

    async def list_transitions(self, job_id: str) -> Sequence[TransitionRecord]:
        """Return a job's history."""
        return [t for t in self._t.transitions if t.job_id == job_id]

    async def list_events(self, *, limit: int) -> Sequence[OutboxRecord]:
        """Return the oldest events of the outbox."""
        return self._t.events[:limit]

    async def get_request(self, tenant: str, request_id: str) -> RequestRecord | None:
        """Return what a request id was used for."""
        return self._t.requests.get((tenant, request_id))

    async def get_attempt(self, attempt_id: str) -> AttemptRecord | None:
        """Return an attempt."""
        return self._t.attempts.get(attempt_id)

    async def get_attempt_of_object(self, tenant: str, object_id: str) -> AttemptRecord | None:
        """Return the attempt whose output goes to an object."""
        return next(
            (
                a
                for a in self._t.attempts.values()
                if a.tenant == tenant and a.object_id == object_id
            ),
            None,
        )

    async def is_object_needed(self, tenant: str, object_id: str) -> bool:
        """Tell whether the object is the source of a job that has not ended."""
        return any(
            j.tenant == tenant and j.source_object_id == object_id and not j.state.is_terminal
            for j in self._t.jobs.values()
        )

    async def get_engine(self, engine_id: str) -> EngineRecord | None:
        """Return an engine."""
        return self._t.engines.get(engine_id)

    async def find_engines(
        self, tenant: str, prefix: str, *, limit: int = 2
    ) -> Sequence[EngineRecord]:
        """Return the tenant's engines whose ids begin with `prefix`."""
        found = [
            e for e in self._t.engines.values() if e.tenant == tenant and e.id.startswith(prefix)
        ]
        return sorted(found, key=lambda e: e.id)[:limit]

    async def list_engines(self, query: EngineQuery) -> Sequence[EngineRecord]:
        """Return a page of engines."""
        found = [
            e
            for e in self._t.engines.values()
            if e.tenant == query.tenant
            and e.id > query.after
            and (query.states is None or e.state in query.states)
        ]
        return sorted(found, key=lambda e: e.id)[: query.limit]

    async def count_online_engines(self) -> int:
        """Count engines that are ONLINE."""
        return sum(e.state is EngineState.ONLINE for e in self._t.engines.values())

    async def list_live_attempts(self, engine_id: str) -> Sequence[AttemptRecord]:
        """Return the live attempts on an engine."""
        return _by_time(a for a in _live(self._t) if a.engine_id == engine_id)

    async def list_requirements(self) -> Sequence[str]:
        """Return the key of every requirement set."""
        return sorted(self._t.requirements)

    async def list_ready_tasks(
        self, *, requirements: Sequence[str], limit: int
    ) -> Sequence[TaskRecord]:
        """Return the next READY tasks."""
        ready = [t for t in self._ready() if t.requirement in requirements]
        return sorted(ready, key=_turn)[:limit]

    async def count_ready_before(self, task: TaskRecord, *, requirements: Sequence[str]) -> int:
        """Count READY tasks with one of the requirement sets that come before `task`."""
        return sum(t.requirement in requirements and _turn(t) < _turn(task) for t in self._ready())

    def _ready(self) -> Iterable[TaskRecord]:
        return (t for t in self._t.tasks.values() if t.state is TaskState.READY)

    async def list_expired_leases(self, now: datetime, *, limit: int) -> Sequence[AttemptRecord]:
        """Return live attempts whose lease has ended."""
        return sorted((a for a in _live(self._t) if _expiry(a) <= now), key=_expiry)[:limit]

    async def get_next_lease_expiry(self) -> datetime | None:
        """Return when the next lease ends."""
        return min((_expiry(a) for a in _live(self._t)), default=None)

    async def list_due_retries(self, now: datetime, *, limit: int) -> Sequence[TaskRecord]:
        """Return BACKING_OFF tasks whose time has come."""
        due = [
            (t.retry_time, t.id, t)
            for t in self._t.tasks.values()
            if t.retry_time is not None and t.retry_time <= now
        ]
        return [task for _, _, task in sorted(due, key=lambda row: row[:2])[:limit]]

    async def get_next_retry_time(self) -> datetime | None:
        """Return when the next retry is due."""
        return min((t.retry_time for t in self._t.tasks.values() if t.retry_time), default=None)

    async def list_expired_jobs(self, now: datetime, *, limit: int) -> Sequence[JobRecord]:
        """Return jobs whose ttl has ended."""
        due = [
            (j.expire_time, j.id, j)
            for j in self._t.jobs.values()
            if j.expire_time is not None and j.expire_time <= now and not j.state.is_terminal
        ]
        return [job for _, _, job in sorted(due, key=lambda row: row[:2])[:limit]]

    async def get_next_job_expiry(self) -> datetime | None:
        """Return when the next ttl ends."""
        return min(
            (
                j.expire_time
                for j in self._t.jobs.values()
                if j.expire_time and not j.state.is_terminal
            ),
            default=None,
        )

    async def list_due_garbage(self, now: datetime, *, limit: int) -> Sequence[GarbageRecord]:
        """Return objects whose deletion is due."""
        due = [g for g in self._t.garbage.values() if g.due_time <= now]
        return sorted(due, key=lambda g: (g.due_time, g.object_id))[:limit]

    async def get_next_garbage_time(self) -> datetime | None:
        """Return when the next deletion is due."""
        return min((g.due_time for g in self._t.garbage.values()), default=None)


def _live(tables: _Tables) -> Iterable[AttemptRecord]:
    return (a for a in tables.attempts.values() if a.lease_expire_time is not None)


def _expiry(attempt: AttemptRecord) -> datetime:
    if attempt.lease_expire_time is None:
        raise ValueError(f"attempt {attempt.id} has ended")
    return attempt.lease_expire_time


def _by_time(attempts: Iterable[AttemptRecord]) -> list[AttemptRecord]:
    return sorted(attempts, key=lambda a: (a.create_time, a.fencing_token, a.id))


def _tasks_of(tables: _Tables, job_id: str) -> list[TaskRecord]:
    return sorted((t for t in tables.tasks.values() if t.job_id == job_id), key=lambda t: t.ordinal)


def _turn(task: TaskRecord) -> tuple[int, str]:
    return (-task.priority, task.id)
