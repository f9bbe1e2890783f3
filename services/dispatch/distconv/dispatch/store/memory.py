"""A store in memory: for tests and simulation. Nothing outlives the process."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import islice
from typing import Any

from distconv.core.engine import EngineState
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.memory_due import MemoryDue
from distconv.dispatch.store.memory_queue import MemoryQueue
from distconv.dispatch.store.memory_replicas import MemoryReplicas
from distconv.dispatch.store.memory_rows import MemoryRows
from distconv.dispatch.store.memory_tables import (
    Tables,
    by_time,
    heard,
    live,
    tasks_of,
)
from distconv.dispatch.store.queries import EngineQuery, JobQuery, Order, TaskQuery
from distconv.dispatch.store.records import (
    AttemptRecord,
    BenchmarkRecord,
    EngineRecord,
    JobRecord,
    OutboxRecord,
    RequestRecord,
    SpeedRecord,
    TaskRecord,
    TransitionRecord,
)
from distconv.dispatch.store.terms import terms_of
from distconv.dispatch.store.unit import Unit


class MemoryStore(MemoryReplicas, MemoryQueue, MemoryDue):
    """Keep everything in dictionaries; transactions run one after another."""

    def __init__(self) -> None:
        self._t = Tables()
        self._lock = asyncio.Lock()
        self._duties: set[str] = set()

    async def close(self) -> None:
        """Do nothing."""

    @asynccontextmanager
    async def duty(self, name: str) -> AsyncIterator[bool]:
        """Hold a duty while the block lasts."""
        if name in self._duties:
            yield False
            return
        self._duties.add(name)
        try:
            yield True
        finally:
            self._duties.discard(name)

    @asynccontextmanager
    async def transaction(self, keys: Keys | None = None) -> AsyncIterator[Unit]:
        """Begin a change; undone when the block raises."""
        async with self._lock:
            rows = MemoryRows(self._t)
            unit = Unit(rows)
            await unit.prefetch(keys or Keys())
            yield unit
            unit.keep()
            await rows.write(unit.writes())

    async def get_job(self, job_id: str) -> JobRecord | None:
        """Return a job."""
        return self._t.jobs.get(job_id)

    async def find_jobs(self, tenant: str, prefix: str, *, limit: int = 2) -> Sequence[JobRecord]:
        """Return the tenant's jobs whose ids begin with `prefix`."""
        found = [j for j in self._t.jobs.values() if j.tenant == tenant and j.id.startswith(prefix)]
        return sorted(found, key=lambda j: j.id)[:limit]

    async def list_jobs(self, query: JobQuery) -> Sequence[JobRecord]:
        """Return a page of jobs."""
        order = query.order
        keyed = [
            (key, job) for job in self._matches(query) if (key := _place(job, order)) is not None
        ]
        if query.after:
            behind = (query.after if query.after_value is None else query.after_value, query.after)
            keyed = [
                row
                for row in keyed
                if (row[0] < behind if order.is_descending else row[0] > behind)
            ]
        keyed.sort(key=lambda row: row[0], reverse=order.is_descending)
        return [job for _, job in keyed[: query.limit]]

    async def count_jobs(self, query: JobQuery) -> int:
        """Count the matches of a query."""
        return sum(_place(job, query.order) is not None for job in self._matches(query))

    def _matches(self, query: JobQuery) -> Iterable[JobRecord]:
        tried = {a.job_id for a in self._t.attempts.values() if a.engine_id == query.engine_id}
        return (
            j
            for j in self._t.jobs.values()
            if j.tenant == query.tenant
            and (query.show_deleted or j.delete_time is None)
            and (query.states is None or j.state in query.states)
            and (query.profile_name is None or j.profile_name == query.profile_name)
            and (query.engine_id is None or j.id in tried)
            and (query.created_after is None or j.create_time >= query.created_after)
            and (query.created_before is None or j.create_time < query.created_before)
            and terms_of(j.labels, j.source_file_name).issuperset(query.terms)
        )

    async def list_deleted_jobs(self, before: datetime, *, limit: int) -> Sequence[JobRecord]:
        """Return jobs that were deleted before."""
        gone = [
            (j.delete_time, j.id, j)
            for j in self._t.jobs.values()
            if j.delete_time is not None and j.delete_time < before
        ]
        return [job for _, _, job in sorted(gone, key=lambda row: row[:2])[:limit]]

    async def get_next_delete_time(self) -> datetime | None:
        """Return when the job was deleted that was deleted the longest ago."""
        return min((j.delete_time for j in self._t.jobs.values() if j.delete_time), default=None)

    async def get_probed_job(self, tenant: str, source_object_id: str) -> JobRecord | None:
        """Return a job of the tenant that knows what is in a source."""
        return next(
            (
                j
                for j in self._t.jobs.values()
                if j.tenant == tenant
                and j.source_object_id == source_object_id
                and j.source_media is not None
            ),
            None,
        )

    async def find_tasks(self, query: TaskQuery) -> Sequence[TaskRecord]:
        """Return a page of tasks."""

        def place(task: TaskRecord) -> tuple[Any, str]:
            return (query.place_of(task), task.id)

        found = sorted(self._matching(query), key=place, reverse=query.is_descending)
        if query.after:
            last = (query.after_value, query.after)
            found = [t for t in found if (place(t) < last) == query.is_descending]
            found = [t for t in found if place(t) != last]
        return found[: query.limit]

    async def count_tasks(self, query: TaskQuery) -> int:
        """Count the matches of a query."""
        return sum(1 for _ in self._matching(query))

    def _matching(self, query: TaskQuery) -> Iterable[TaskRecord]:
        tried = {a.task_id for a in self._t.attempts.values() if a.engine_id == query.engine_id}
        return (
            t
            for t in self._t.tasks.values()
            if t.tenant == query.tenant
            and (query.job_id is None or t.job_id == query.job_id)
            and (query.states is None or t.state in query.states)
            and (query.kinds is None or t.kind in query.kinds)
            and (query.engine_id is None or t.id in tried)
            and (query.created_after is None or t.create_time >= query.created_after)
            and (query.created_before is None or t.create_time < query.created_before)
            and _is_wanted(self._t.jobs[t.job_id], query)
        )

    async def list_tasks(self, job_id: str) -> Sequence[TaskRecord]:
        """Return a job's tasks in the order of the plan."""
        return tasks_of(self._t, job_id)

    async def list_tasks_of(self, job_ids: Sequence[str]) -> Sequence[TaskRecord]:
        """Return the tasks of jobs."""
        wanted = frozenset(job_ids)
        found = [task for task in self._t.tasks.values() if task.job_id in wanted]
        return sorted(found, key=lambda task: (task.job_id, task.ordinal))

    async def list_attempts(self, job_id: str) -> Sequence[AttemptRecord]:
        """Return every attempt at a job's tasks."""
        return by_time(a for a in self._t.attempts.values() if a.job_id == job_id)

    async def list_attempts_at(self, task_ids: Sequence[str]) -> Sequence[AttemptRecord]:
        """Return every attempt at the tasks."""
        wanted = frozenset(task_ids)
        return by_time(a for a in self._t.attempts.values() if a.task_id in wanted)

    async def list_transitions(self, job_id: str) -> Sequence[TransitionRecord]:
        """Return a job's history."""
        return [t for t in self._t.transitions if t.job_id == job_id]

    async def list_events(self, *, limit: int) -> Sequence[OutboxRecord]:
        """Return the oldest events of the outbox."""
        return list(islice(self._t.events.values(), limit))

    async def list_requests(
        self, tenant: str, request_ids: Sequence[str]
    ) -> Sequence[RequestRecord]:
        """Return what request ids were used for; those that are new are left out."""
        found = (self._t.requests.get((tenant, request_id)) for request_id in request_ids)
        return [request for request in found if request is not None]

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

    async def list_live_attempts(self, *engine_ids: str) -> Sequence[AttemptRecord]:
        """Return the live attempts on engines."""
        return by_time(a for a in live(self._t) if a.engine_id in engine_ids)

    async def list_silent_engines(self, before: datetime, *, limit: int) -> Sequence[EngineRecord]:
        """Return engines that were last heard before."""
        silent = [(e.heartbeat_time, e.id, e) for e in self._present() if heard(e) < before]
        return [engine for _, _, engine in sorted(silent, key=lambda row: row[:2])[:limit]]

    async def get_earliest_heartbeat(self) -> datetime | None:
        """Return when the longest silent engine was heard."""
        return min((heard(e) for e in self._present()), default=None)

    def _present(self) -> Iterable[EngineRecord]:
        return (
            e
            for e in self._t.engines.values()
            if not e.state.is_absent and e.heartbeat_time is not None
        )

    async def list_benchmarks(self, engine_id: str, *, limit: int) -> Sequence[BenchmarkRecord]:
        """Return an engine's benchmarks."""
        found = [b for b in reversed(self._t.benchmarks) if b.engine_id == engine_id]
        return sorted(found, key=lambda b: b.measure_time, reverse=True)[:limit]

    async def list_speeds(self, *, engine_id: str = "") -> Sequence[SpeedRecord]:
        """Return how fast an engine has been, or every engine."""
        found = [row for _, row in sorted(self._t.speeds.items())]
        return [s for s in found if s.engine_id == engine_id] if engine_id else found


def _is_wanted(job: JobRecord, query: TaskQuery) -> bool:
    """Tell whether a job is one whose tasks are asked for."""
    return (query.profile_name is None or job.profile_name == query.profile_name) and terms_of(
        job.labels, job.source_file_name
    ).issuperset(query.terms)


def _place(job: JobRecord, order: Order) -> tuple[Any, str] | None:
    """Return what a job is sorted by; None when it has no place in that order."""
    if order.field == "create_time":
        return (job.id, job.id)
    value = getattr(job, order.field)
    return None if value is None else (value, job.id)
