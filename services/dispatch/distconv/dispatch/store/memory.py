"""A store in memory: for tests and simulation. Nothing outlives the process."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from distconv.core.engine import EngineState
from distconv.core.task_states import TaskState
from distconv.dispatch.store.memory_tables import Tables, by_time, expiry, live, tasks_of
from distconv.dispatch.store.memory_transaction import MemoryTransaction
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


class MemoryStore:
    """Keep everything in dictionaries; transactions run one after another."""

    def __init__(self) -> None:
        self._t = Tables()
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
        return tasks_of(self._t, job_id)

    async def list_attempts(self, job_id: str) -> Sequence[AttemptRecord]:
        """Return every attempt at a job's tasks."""
        return by_time(a for a in self._t.attempts.values() if a.job_id == job_id)

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
        return by_time(a for a in live(self._t) if a.engine_id == engine_id)

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
        return sorted((a for a in live(self._t) if expiry(a) <= now), key=expiry)[:limit]

    async def get_next_lease_expiry(self) -> datetime | None:
        """Return when the next lease ends."""
        return min((expiry(a) for a in live(self._t)), default=None)

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


def _turn(task: TaskRecord) -> tuple[int, str]:
    return (-task.priority, task.id)
