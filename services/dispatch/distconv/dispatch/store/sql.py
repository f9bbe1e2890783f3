"""The store on a SQL database, through SQLAlchemy: SQLite today; the statements are portable."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from distconv.core.engine import EngineState
from distconv.core.errors import AlreadyExistsError, UnavailableError
from distconv.core.states import TERMINAL as ENDED_JOB_STATES
from distconv.core.task_states import TaskState
from distconv.dispatch.store import migrate, sqlite
from distconv.dispatch.store import tables as t
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
from distconv.dispatch.store.sql_transaction import SqlTransaction
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
    select_of,
)
from distconv.dispatch.store.whole import whole, whole_context

_R = TypeVar("_R")

# Higher than every character of an id: the end of a range of ids with one prefix.
_BEYOND = "~"
_OF_ENDED_JOB = t.jobs.c.state.in_(sorted(ENDED_JOB_STATES))


class SqlStore:
    """Keep everything in a SQL database. Make one with `open_sqlite`."""

    def __init__(self, engine: AsyncEngine, *, name: str, one_writer: bool) -> None:
        """Take an engine whose tables are current; `one_writer` queues writers here."""
        self._engine = engine
        self._writing = engine.execution_options(**{sqlite.WRITES: True})
        self._name = name
        self._requirements: set[tuple[str, str]] = set()
        # SQLite has one writer at a time: waiting here costs less than its busy handler.
        self._lock = asyncio.Lock() if one_writer else None

    @classmethod
    async def open_sqlite(cls, path: Path) -> Self:
        """Open the database at `path`, made when it is not there, and bring it up to date.

        Raises DataLossError (damaged), UnavailableError (locked, unreadable) or
        FailedPreconditionError (written by a newer version).
        """
        await asyncio.to_thread(sqlite.check, path)
        engine = sqlite.make_engine(path)
        try:
            writing = engine.execution_options(**{sqlite.WRITES: True})
            async with writing.begin() as connection:
                await connection.run_sync(migrate.upgrade, name=str(path))
        except DBAPIError as error:
            await engine.dispose()
            raise sqlite.unusable(path, error.orig or error) from error
        except BaseException:
            await engine.dispose()
            raise
        return cls(engine, name=str(path), one_writer=True)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlTransaction]:
        """Begin a change. Raises UnavailableError when the database does not take it."""
        if self._lock is not None:
            await self._lock.acquire()
        try:
            async with whole_context(self._writing.begin()) as connection:
                transaction = SqlTransaction(connection, self._requirements)
                yield transaction
            self._requirements |= transaction.added
        except DBAPIError as error:
            raise self._wrapped(error) from error
        finally:
            if self._lock is not None:
                self._lock.release()

    def _wrapped(self, error: DBAPIError) -> Exception:
        if isinstance(error, IntegrityError):
            return AlreadyExistsError(f"a record of that id stands in {self._name} already")
        if isinstance(error, OperationalError):
            return sqlite.unusable(Path(self._name), error.orig or error)
        return UnavailableError(f"the database {self._name} did not take a change: {error.orig}")

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with whole_context(self._engine.connect()) as connection:
                yield connection
        except DBAPIError as error:
            raise self._wrapped(error) from error

    async def _read_all(self, query: sa.Select[Any], kind: type[_R]) -> list[_R]:
        async with self._reading() as connection:
            return await fetch_all(connection, query, kind)

    async def _read_one(self, query: sa.Select[Any], kind: type[_R]) -> _R | None:
        async with self._reading() as connection:
            return await fetch_one(connection, query, kind)

    async def _scalar(self, query: sa.Select[Any]) -> Any:
        async with self._reading() as connection:
            return (await whole(connection.execute(query))).scalar()

    async def get_job(self, job_id: str) -> JobRecord | None:
        """Return a job."""
        return await self._read_one(JOBS.where(t.jobs.c.id == job_id), JobRecord)

    async def find_jobs(self, tenant: str, prefix: str, *, limit: int = 2) -> Sequence[JobRecord]:
        """Return the tenant's jobs whose ids begin with `prefix`."""
        query = JOBS.where(t.jobs.c.tenant == tenant, *_begins(t.jobs.c.id, prefix))
        return await self._read_all(query.order_by(t.jobs.c.id).limit(limit), JobRecord)

    async def list_jobs(self, query: JobQuery) -> Sequence[JobRecord]:
        """Return a page of jobs."""
        select = JOBS.where(*_matches(query)).limit(query.limit)
        job_id = t.jobs.c.id
        if query.order is Order.NEWEST_FIRST:
            select = select.order_by(job_id.desc())
            after = job_id < query.after
        else:
            select = select.order_by(job_id)
            after = job_id > query.after
        return await self._read_all(select.where(after) if query.after else select, JobRecord)

    async def count_jobs(self, query: JobQuery) -> int:
        """Count the matches of a query."""
        counted = sa.select(sa.func.count()).select_from(t.jobs).where(*_matches(query))
        return int(await self._scalar(counted))

    async def list_tasks(self, job_id: str) -> Sequence[TaskRecord]:
        """Return a job's tasks in the order of the plan."""
        query = TASKS.where(t.tasks.c.job_id == job_id).order_by(t.tasks.c.ordinal)
        return await self._read_all(query, TaskRecord)

    async def list_attempts(self, job_id: str) -> Sequence[AttemptRecord]:
        """Return every attempt at a job's tasks."""
        query = ATTEMPTS.where(t.attempts.c.job_id == job_id).order_by(*IN_TIME)
        return await self._read_all(query, AttemptRecord)

    async def list_transitions(self, job_id: str) -> Sequence[TransitionRecord]:
        """Return a job's history."""
        query = select_of(t.transitions, TransitionRecord).where(t.transitions.c.job_id == job_id)
        return await self._read_all(query.order_by(t.transitions.c.number), TransitionRecord)

    async def list_events(self, *, limit: int) -> Sequence[OutboxRecord]:
        """Return the oldest events of the outbox."""
        query = select_of(t.outbox, OutboxRecord).order_by(t.outbox.c.number).limit(limit)
        return await self._read_all(query, OutboxRecord)

    async def get_request(self, tenant: str, request_id: str) -> RequestRecord | None:
        """Return what a request id was used for."""
        return await self._read_one(request_of(tenant, request_id), RequestRecord)

    async def get_attempt(self, attempt_id: str) -> AttemptRecord | None:
        """Return an attempt."""
        return await self._read_one(ATTEMPTS.where(t.attempts.c.id == attempt_id), AttemptRecord)

    async def get_attempt_of_object(self, tenant: str, object_id: str) -> AttemptRecord | None:
        """Return the attempt whose output goes to an object."""
        query = ATTEMPTS.where(
            t.attempts.c.tenant == tenant, t.attempts.c.object_id == object_id
        ).limit(1)
        return await self._read_one(query, AttemptRecord)

    async def is_object_needed(self, tenant: str, object_id: str) -> bool:
        """Tell whether the object is the source of a job that has not ended."""
        query = (
            sa.select(t.jobs.c.id)
            .where(
                t.jobs.c.tenant == tenant,
                t.jobs.c.source_object_id == object_id,
                sa.not_(_OF_ENDED_JOB),
            )
            .limit(1)
        )
        return await self._scalar(query) is not None

    async def get_engine(self, engine_id: str) -> EngineRecord | None:
        """Return an engine."""
        return await self._read_one(ENGINES.where(t.engines.c.id == engine_id), EngineRecord)

    async def find_engines(
        self, tenant: str, prefix: str, *, limit: int = 2
    ) -> Sequence[EngineRecord]:
        """Return the tenant's engines whose ids begin with `prefix`."""
        query = ENGINES.where(t.engines.c.tenant == tenant, *_begins(t.engines.c.id, prefix))
        return await self._read_all(query.order_by(t.engines.c.id).limit(limit), EngineRecord)

    async def list_engines(self, query: EngineQuery) -> Sequence[EngineRecord]:
        """Return a page of engines."""
        select = ENGINES.where(t.engines.c.tenant == query.tenant, t.engines.c.id > query.after)
        if query.states is not None:
            select = select.where(t.engines.c.state.in_(sorted(query.states)))
        return await self._read_all(
            select.order_by(t.engines.c.id).limit(query.limit), EngineRecord
        )

    async def count_online_engines(self) -> int:
        """Count engines that are ONLINE."""
        query = sa.select(sa.func.count()).select_from(t.engines)
        return int(await self._scalar(query.where(t.engines.c.state == EngineState.ONLINE)))

    async def list_live_attempts(self, engine_id: str) -> Sequence[AttemptRecord]:
        """Return the live attempts on an engine."""
        query = ATTEMPTS.where(t.attempts.c.engine_id == engine_id, LIVE)
        return await self._read_all(query.order_by(*IN_TIME), AttemptRecord)

    async def list_requirements(self) -> Sequence[str]:
        """Return the key of every requirement set."""
        key = t.requirement_sets.c.key
        async with self._reading() as connection:
            return list(await whole(connection.scalars(sa.select(key).distinct().order_by(key))))

    async def list_ready_tasks(
        self, *, requirements: Sequence[str], limit: int
    ) -> Sequence[TaskRecord]:
        """Return the next READY tasks."""
        query = (
            TASKS.where(
                t.tasks.c.state == TaskState.READY, t.tasks.c.requirement.in_(list(requirements))
            )
            .order_by(t.tasks.c.priority.desc(), t.tasks.c.id)
            .limit(limit)
        )
        return await self._read_all(query, TaskRecord)

    async def count_ready_before(self, task: TaskRecord, *, requirements: Sequence[str]) -> int:
        """Count READY tasks with one of the requirement sets that come before `task`."""
        sooner = sa.or_(
            t.tasks.c.priority > task.priority,
            sa.and_(t.tasks.c.priority == task.priority, t.tasks.c.id < task.id),
        )
        query = (
            sa.select(sa.func.count())
            .select_from(t.tasks)
            .where(
                t.tasks.c.state == TaskState.READY,
                t.tasks.c.requirement.in_(list(requirements)),
                sooner,
            )
        )
        return int(await self._scalar(query))

    async def list_expired_leases(self, now: datetime, *, limit: int) -> Sequence[AttemptRecord]:
        """Return live attempts whose lease has ended."""
        expiry = t.attempts.c.lease_expire_time
        query = ATTEMPTS.where(expiry <= now).order_by(expiry, t.attempts.c.id).limit(limit)
        return await self._read_all(query, AttemptRecord)

    async def get_next_lease_expiry(self) -> datetime | None:
        """Return when the next lease ends."""
        return await self._earliest(t.attempts.c.lease_expire_time)

    async def list_due_retries(self, now: datetime, *, limit: int) -> Sequence[TaskRecord]:
        """Return BACKING_OFF tasks whose time has come."""
        due = t.tasks.c.retry_time
        query = TASKS.where(due <= now).order_by(due, t.tasks.c.id).limit(limit)
        return await self._read_all(query, TaskRecord)

    async def get_next_retry_time(self) -> datetime | None:
        """Return when the next retry is due."""
        return await self._earliest(t.tasks.c.retry_time)

    async def list_expired_jobs(self, now: datetime, *, limit: int) -> Sequence[JobRecord]:
        """Return jobs whose ttl has ended."""
        due = t.jobs.c.expire_time
        query = JOBS.where(due <= now, sa.not_(_OF_ENDED_JOB)).order_by(due, t.jobs.c.id)
        return await self._read_all(query.limit(limit), JobRecord)

    async def get_next_job_expiry(self) -> datetime | None:
        """Return when the next ttl ends."""
        return await self._earliest(t.jobs.c.expire_time, sa.not_(_OF_ENDED_JOB))

    async def list_due_garbage(self, now: datetime, *, limit: int) -> Sequence[GarbageRecord]:
        """Return objects whose deletion is due."""
        due = t.garbage.c.due_time
        query = select_of(t.garbage, GarbageRecord).where(due <= now)
        return await self._read_all(
            query.order_by(due, t.garbage.c.object_id).limit(limit), GarbageRecord
        )

    async def get_next_garbage_time(self) -> datetime | None:
        """Return when the next deletion is due."""
        return await self._earliest(t.garbage.c.due_time)

    async def _earliest(
        self, column: sa.Column[Any], *where: sa.ColumnElement[bool]
    ) -> datetime | None:
        found: datetime | None = await self._scalar(
            sa.select(column).where(column.is_not(None), *where).order_by(column).limit(1)
        )
        return found


def _begins(column: sa.Column[Any], prefix: str) -> tuple[sa.ColumnElement[bool], ...]:
    return column >= prefix, column < prefix + _BEYOND


def _matches(query: JobQuery) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = [
        t.jobs.c.tenant == query.tenant,
        t.jobs.c.delete_time.is_(None),
    ]
    if query.states is not None:
        found.append(t.jobs.c.state.in_(sorted(query.states)))
    if query.profile_name is not None:
        found.append(t.jobs.c.profile_name == query.profile_name)
    return found
