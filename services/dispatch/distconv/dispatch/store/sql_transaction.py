"""A change to a SQL store: what it reads is locked, what it saves is only what changed."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from distconv.core.engine import EngineState
from distconv.core.task_states import TaskState
from distconv.dispatch.store import tables as t
from distconv.dispatch.store.records import (
    AttemptRecord,
    EngineRecord,
    GarbageRecord,
    JobRecord,
    OutboxRecord,
    RequestRecord,
    TaskRecord,
    TransitionRecord,
)
from distconv.dispatch.store.statements import (
    ATTEMPTS,
    ENGINES,
    IN_TIME,
    JOBS,
    LIVE,
    TASKS,
    fetch_all,
    fetch_one,
    request_of,
    values_of,
)
from distconv.dispatch.store.whole import whole

_R = TypeVar("_R")


class SqlTransaction:
    """One change to a SqlStore.

    What was read is remembered, so that saving a record writes only the
    columns that changed.
    """

    def __init__(self, connection: AsyncConnection, requirements: set[tuple[str, str]]) -> None:
        """Take the requirement sets known to be stored; what this adds is in `added`."""
        self._connection = connection
        self._requirements = requirements
        self.added: set[tuple[str, str]] = set()
        self._seen: dict[tuple[str, str], Any] = {}

    async def get_job(self, job_id: str) -> JobRecord | None:
        """Return a job and lock it."""
        return await self._locked(t.jobs, JOBS, JobRecord, job_id)

    async def get_task(self, task_id: str) -> TaskRecord | None:
        """Return a task and lock it."""
        return await self._locked(t.tasks, TASKS, TaskRecord, task_id)

    async def get_claimable_task(self, task_id: str) -> TaskRecord | None:
        """Return a task that is READY and that nobody else is claiming, and lock it."""
        query = TASKS.where(t.tasks.c.id == task_id, t.tasks.c.state == TaskState.READY)
        found = await self._records(t.tasks, query.with_for_update(skip_locked=True), TaskRecord)
        return found[0] if found else None

    async def get_attempt(self, attempt_id: str) -> AttemptRecord | None:
        """Return an attempt and lock it."""
        return await self._locked(t.attempts, ATTEMPTS, AttemptRecord, attempt_id)

    async def get_engine(self, engine_id: str) -> EngineRecord | None:
        """Return an engine and lock it."""
        return await self._locked(t.engines, ENGINES, EngineRecord, engine_id)

    async def get_request(self, tenant: str, request_id: str) -> RequestRecord | None:
        """Return what a request id was used for."""
        return await fetch_one(self._connection, request_of(tenant, request_id), RequestRecord)

    async def list_tasks(self, job_id: str) -> Sequence[TaskRecord]:
        """Return a job's tasks in the order of the plan, and lock them."""
        query = TASKS.where(t.tasks.c.job_id == job_id).order_by(t.tasks.c.ordinal)
        return await self._records(t.tasks, query.with_for_update(), TaskRecord)

    async def list_live_attempts(
        self, *, job_id: str = "", engine_id: str = ""
    ) -> Sequence[AttemptRecord]:
        """Return the live attempts of a job or of an engine, and lock them."""
        whose = t.attempts.c.job_id == job_id if job_id else t.attempts.c.engine_id == engine_id
        query = ATTEMPTS.where(whose, LIVE).order_by(*IN_TIME)
        return await self._records(t.attempts, query.with_for_update(), AttemptRecord)

    async def renew_leases(
        self, *, engine_id: str, tokens: dict[str, int], expire_time: datetime
    ) -> Sequence[AttemptRecord]:
        """Push on the leases that still hold."""
        if not tokens:
            return []
        query = ATTEMPTS.where(
            t.attempts.c.id.in_(sorted(tokens)), t.attempts.c.engine_id == engine_id, LIVE
        ).with_for_update()
        found = await self._records(t.attempts, query, AttemptRecord)
        held = [a for a in found if a.fencing_token == tokens[a.id]]
        ids = [a.id for a in held if (a.lease_expire_time or expire_time) < expire_time]
        if ids:
            await self._execute(
                sa.update(t.attempts)
                .where(t.attempts.c.id.in_(ids))
                .values(lease_expire_time=expire_time)
            )
        return [
            dataclasses.replace(a, lease_expire_time=expire_time) if a.id in ids else a
            for a in held
        ]

    async def extend_leases(self, *, expire_time: datetime) -> int:
        """Push every earlier expiry on."""
        done = await self._execute(
            sa.update(t.attempts)
            .where(t.attempts.c.lease_expire_time < expire_time)
            .values(lease_expire_time=expire_time)
        )
        return done.rowcount

    async def take_engines_offline(self) -> int:
        """Mark every engine as OFFLINE."""
        done = await self._execute(
            sa.update(t.engines)
            .where(t.engines.c.state.not_in([EngineState.OFFLINE, EngineState.REVOKED]))
            .values(state=EngineState.OFFLINE, session_id="", connect_time=None)
        )
        return done.rowcount

    async def add_job(self, job: JobRecord) -> None:
        """Insert a job."""
        await self._insert(t.jobs, job)
        self._seen["jobs", job.id] = job

    async def add_task(self, task: TaskRecord) -> None:
        """Insert a task, and its requirement set when that is new."""
        await self._add_requirement(task.requirement, task.tenant)
        await self._insert(t.tasks, task)
        self._seen["tasks", task.id] = task

    async def _add_requirement(self, key: str, tenant: str) -> None:
        table = t.requirement_sets
        if (key, tenant) in self._requirements or (key, tenant) in self.added:
            return
        known = sa.select(table.c.key).where(table.c.key == key, table.c.tenant == tenant)
        if (await self._execute(known)).first() is None:
            await self._execute(sa.insert(table).values(key=key, tenant=tenant))
        self.added.add((key, tenant))

    async def add_attempt(self, attempt: AttemptRecord) -> None:
        """Insert an attempt."""
        await self._insert(t.attempts, attempt)
        self._seen["attempts", attempt.id] = attempt

    async def add_transition(self, transition: TransitionRecord) -> None:
        """Append to a job's history."""
        await self._insert(t.transitions, transition)

    async def add_event(self, event: OutboxRecord) -> None:
        """Append to the outbox."""
        await self._insert(t.outbox, event)

    async def add_request(self, request: RequestRecord) -> None:
        """Insert what a request id was used for."""
        await self._insert(t.requests, request)

    async def save_job(self, job: JobRecord) -> None:
        """Replace a job."""
        await self._save(t.jobs, job.id, job)

    async def save_task(self, task: TaskRecord) -> None:
        """Replace a task."""
        await self._save(t.tasks, task.id, task)

    async def save_attempt(self, attempt: AttemptRecord) -> None:
        """Replace an attempt."""
        await self._save(t.attempts, attempt.id, attempt)

    async def put_engine(self, engine: EngineRecord) -> None:
        """Insert or replace an engine."""
        if await self.get_engine(engine.id) is None:
            await self._insert(t.engines, engine)
            self._seen["engines", engine.id] = engine
        else:
            await self._save(t.engines, engine.id, engine)

    async def put_garbage(self, garbage: GarbageRecord) -> None:
        """Insert or replace an object to delete."""
        await self.remove_garbage(garbage.object_id)
        await self._insert(t.garbage, garbage)

    async def remove_garbage(self, object_id: str) -> None:
        """Forget an object to delete."""
        await self._execute(sa.delete(t.garbage).where(t.garbage.c.object_id == object_id))

    async def _execute(self, statement: sa.Executable) -> sa.CursorResult[Any]:
        return await whole(self._connection.execute(statement))

    async def _locked(
        self, table: sa.Table, select: sa.Select[Any], kind: type[_R], key: str
    ) -> _R | None:
        seen: _R | None = self._seen.get((table.name, key))
        if seen is not None:
            return seen
        found = await self._records(table, select.where(table.c.id == key).with_for_update(), kind)
        return found[0] if found else None

    async def _records(self, table: sa.Table, query: sa.Select[Any], kind: type[_R]) -> list[_R]:
        found = await fetch_all(self._connection, query, kind)
        for record in found:
            key: str = record.id  # type: ignore[attr-defined]
            self._seen[table.name, key] = record
        return found

    async def _insert(self, table: sa.Table, record: Any) -> None:
        await self._execute(sa.insert(table).values(values_of(record)))

    async def _save(self, table: sa.Table, key: str, record: Any) -> None:
        seen = self._seen.get((table.name, key))
        old = {} if seen is None else values_of(seen)
        changed = {
            name: value
            for name, value in values_of(record).items()
            if name not in old or (old[name] is not value and old[name] != value)
        }
        self._seen[table.name, key] = record
        if changed:
            await self._execute(sa.update(table).where(table.c.id == key).values(changed))
