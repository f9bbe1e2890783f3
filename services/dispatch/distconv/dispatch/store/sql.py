"""The store on a SQL database, through SQLAlchemy: SQLite today; the statements are portable."""

import asyncio
import dataclasses
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
from distconv.dispatch.store.whole import whole, whole_context

_R = TypeVar("_R")

# Higher than every character of an id: the end of a range of ids with one prefix.
_BEYOND = "~"


def _columns(table: sa.Table, record: type) -> list[sa.ColumnElement[Any]]:
    return [table.c[f.name] for f in dataclasses.fields(record)]


def _select(table: sa.Table, record: type) -> sa.Select[Any]:
    return sa.select(*_columns(table, record))


def _values(record: Any) -> dict[str, Any]:
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}


_JOBS = _select(t.jobs, JobRecord)
_TASKS = _select(t.tasks, TaskRecord)
_ATTEMPTS = _select(t.attempts, AttemptRecord)
_ENGINES = _select(t.engines, EngineRecord)
_LIVE = t.attempts.c.lease_expire_time.is_not(None)
_IN_TIME = (t.attempts.c.create_time, t.attempts.c.fencing_token, t.attempts.c.id)
_OF_ENDED_JOB = t.jobs.c.state.in_(sorted(ENDED_JOB_STATES))


async def _one(connection: AsyncConnection, query: sa.Select[Any], kind: type[_R]) -> _R | None:
    row = (await whole(connection.execute(query))).first()
    return None if row is None else kind(**row._mapping)  # noqa: SLF001  # its documented name


async def _all(connection: AsyncConnection, query: sa.Select[Any], kind: type[_R]) -> list[_R]:
    return [kind(**row._mapping) for row in await whole(connection.execute(query))]  # noqa: SLF001


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
        return await self._locked(t.jobs, _JOBS, JobRecord, job_id)

    async def get_task(self, task_id: str) -> TaskRecord | None:
        """Return a task and lock it."""
        return await self._locked(t.tasks, _TASKS, TaskRecord, task_id)

    async def get_claimable_task(self, task_id: str) -> TaskRecord | None:
        """Return a task that is READY and that nobody else is claiming, and lock it."""
        query = _TASKS.where(t.tasks.c.id == task_id, t.tasks.c.state == TaskState.READY)
        found = await self._records(t.tasks, query.with_for_update(skip_locked=True), TaskRecord)
        return found[0] if found else None

    async def get_attempt(self, attempt_id: str) -> AttemptRecord | None:
        """Return an attempt and lock it."""
        return await self._locked(t.attempts, _ATTEMPTS, AttemptRecord, attempt_id)

    async def get_engine(self, engine_id: str) -> EngineRecord | None:
        """Return an engine and lock it."""
        return await self._locked(t.engines, _ENGINES, EngineRecord, engine_id)

    async def get_request(self, tenant: str, request_id: str) -> RequestRecord | None:
        """Return what a request id was used for."""
        return await _one(self._connection, _request(tenant, request_id), RequestRecord)

    async def list_tasks(self, job_id: str) -> Sequence[TaskRecord]:
        """Return a job's tasks in the order of the plan, and lock them."""
        query = _TASKS.where(t.tasks.c.job_id == job_id).order_by(t.tasks.c.ordinal)
        return await self._records(t.tasks, query.with_for_update(), TaskRecord)

    async def list_live_attempts(
        self, *, job_id: str = "", engine_id: str = ""
    ) -> Sequence[AttemptRecord]:
        """Return the live attempts of a job or of an engine, and lock them."""
        whose = t.attempts.c.job_id == job_id if job_id else t.attempts.c.engine_id == engine_id
        query = _ATTEMPTS.where(whose, _LIVE).order_by(*_IN_TIME)
        return await self._records(t.attempts, query.with_for_update(), AttemptRecord)

    async def renew_leases(
        self, *, engine_id: str, tokens: dict[str, int], expire_time: datetime
    ) -> Sequence[AttemptRecord]:
        """Push on the leases that still hold."""
        if not tokens:
            return []
        query = _ATTEMPTS.where(
            t.attempts.c.id.in_(sorted(tokens)), t.attempts.c.engine_id == engine_id, _LIVE
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
        found = await _all(self._connection, query, kind)
        for record in found:
            key: str = record.id  # type: ignore[attr-defined]
            self._seen[table.name, key] = record
        return found

    async def _insert(self, table: sa.Table, record: Any) -> None:
        await self._execute(sa.insert(table).values(_values(record)))

    async def _save(self, table: sa.Table, key: str, record: Any) -> None:
        seen = self._seen.get((table.name, key))
        old = {} if seen is None else _values(seen)
        changed = {
            name: value
            for name, value in _values(record).items()
            if name not in old or (old[name] is not value and old[name] != value)
        }
        self._seen[table.name, key] = record
        if changed:
            await self._execute(sa.update(table).where(table.c.id == key).values(changed))


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
            return await _all(connection, query, kind)

    async def _read_one(self, query: sa.Select[Any], kind: type[_R]) -> _R | None:
        async with self._reading() as connection:
            return await _one(connection, query, kind)

    async def _scalar(self, query: sa.Select[Any]) -> Any:
        async with self._reading() as connection:
            return (await whole(connection.execute(query))).scalar()

    async def get_job(self, job_id: str) -> JobRecord | None:
        """Return a job."""
        return await self._read_one(_JOBS.where(t.jobs.c.id == job_id), JobRecord)

    async def find_jobs(self, tenant: str, prefix: str, *, limit: int = 2) -> Sequence[JobRecord]:
        """Return the tenant's jobs whose ids begin with `prefix`."""
        query = _JOBS.where(t.jobs.c.tenant == tenant, *_begins(t.jobs.c.id, prefix))
        return await self._read_all(query.order_by(t.jobs.c.id).limit(limit), JobRecord)

    async def list_jobs(self, query: JobQuery) -> Sequence[JobRecord]:
        """Return a page of jobs."""
        select = _JOBS.where(*_matches(query)).limit(query.limit)
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
        query = _TASKS.where(t.tasks.c.job_id == job_id).order_by(t.tasks.c.ordinal)
        return await self._read_all(query, TaskRecord)

    async def list_attempts(self, job_id: str) -> Sequence[AttemptRecord]:
        """Return every attempt at a job's tasks."""
        query = _ATTEMPTS.where(t.attempts.c.job_id == job_id).order_by(*_IN_TIME)
        return await self._read_all(query, AttemptRecord)

    async def list_transitions(self, job_id: str) -> Sequence[TransitionRecord]:
        """Return a job's history."""
        query = _select(t.transitions, TransitionRecord).where(t.transitions.c.job_id == job_id)
        return await self._read_all(query.order_by(t.transitions.c.number), TransitionRecord)

    async def list_events(self, *, limit: int) -> Sequence[OutboxRecord]:
        """Return the oldest events of the outbox."""
        query = _select(t.outbox, OutboxRecord).order_by(t.outbox.c.number).limit(limit)
        return await self._read_all(query, OutboxRecord)

    async def get_request(self, tenant: str, request_id: str) -> RequestRecord | None:
        """Return what a request id was used for."""
        return await self._read_one(_request(tenant, request_id), RequestRecord)

    async def get_attempt(self, attempt_id: str) -> AttemptRecord | None:
        """Return an attempt."""
        return await self._read_one(_ATTEMPTS.where(t.attempts.c.id == attempt_id), AttemptRecord)

    async def get_attempt_of_object(self, tenant: str, object_id: str) -> AttemptRecord | None:
        """Return the attempt whose output goes to an object."""
        query = _ATTEMPTS.where(
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
        return await self._read_one(_ENGINES.where(t.engines.c.id == engine_id), EngineRecord)

    async def find_engines(
        self, tenant: str, prefix: str, *, limit: int = 2
    ) -> Sequence[EngineRecord]:
        """Return the tenant's engines whose ids begin with `prefix`."""
        query = _ENGINES.where(t.engines.c.tenant == tenant, *_begins(t.engines.c.id, prefix))
        return await self._read_all(query.order_by(t.engines.c.id).limit(limit), EngineRecord)

    async def list_engines(self, query: EngineQuery) -> Sequence[EngineRecord]:
        """Return a page of engines."""
        select = _ENGINES.where(t.engines.c.tenant == query.tenant, t.engines.c.id > query.after)
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
        query = _ATTEMPTS.where(t.attempts.c.engine_id == engine_id, _LIVE)
        return await self._read_all(query.order_by(*_IN_TIME), AttemptRecord)

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
            _TASKS.where(
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
        query = _ATTEMPTS.where(expiry <= now).order_by(expiry, t.attempts.c.id).limit(limit)
        return await self._read_all(query, AttemptRecord)

    async def get_next_lease_expiry(self) -> datetime | None:
        """Return when the next lease ends."""
        return await self._earliest(t.attempts.c.lease_expire_time)

    async def list_due_retries(self, now: datetime, *, limit: int) -> Sequence[TaskRecord]:
        """Return BACKING_OFF tasks whose time has come."""
        due = t.tasks.c.retry_time
        query = _TASKS.where(due <= now).order_by(due, t.tasks.c.id).limit(limit)
        return await self._read_all(query, TaskRecord)

    async def get_next_retry_time(self) -> datetime | None:
        """Return when the next retry is due."""
        return await self._earliest(t.tasks.c.retry_time)

    async def list_expired_jobs(self, now: datetime, *, limit: int) -> Sequence[JobRecord]:
        """Return jobs whose ttl has ended."""
        due = t.jobs.c.expire_time
        query = _JOBS.where(due <= now, sa.not_(_OF_ENDED_JOB)).order_by(due, t.jobs.c.id)
        return await self._read_all(query.limit(limit), JobRecord)

    async def get_next_job_expiry(self) -> datetime | None:
        """Return when the next ttl ends."""
        return await self._earliest(t.jobs.c.expire_time, sa.not_(_OF_ENDED_JOB))

    async def list_due_garbage(self, now: datetime, *, limit: int) -> Sequence[GarbageRecord]:
        """Return objects whose deletion is due."""
        due = t.garbage.c.due_time
        query = _select(t.garbage, GarbageRecord).where(due <= now)
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


def _request(tenant: str, request_id: str) -> sa.Select[Any]:
    return _select(t.requests, RequestRecord).where(
        t.requests.c.tenant == tenant, t.requests.c.request_id == request_id
    )


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
