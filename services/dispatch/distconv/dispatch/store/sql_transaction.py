"""A change to a SQL store: what it reads is locked, what it saves is only what changed."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from distconv.core.engine import EngineState
from distconv.core.task_states import TaskState
from distconv.dispatch.store import tables as t
from distconv.dispatch.store.queries import Line
from distconv.dispatch.store.records import (
    AttemptRecord,
    BenchmarkRecord,
    EngineRecord,
    GarbageRecord,
    JobRecord,
    OutboxRecord,
    RequestRecord,
    SpeedRecord,
    TaskRecord,
    TenantRecord,
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
    insert_new,
    request_of,
    select_of,
    values_of,
)
from distconv.dispatch.store.terms import terms_of
from distconv.dispatch.store.whole import whole

_R = TypeVar("_R")

# A line's `use_time` is renewed when it is older. What is younger is not forgotten by any
# replica (`remove_idle_lines` is asked with much longer spans), so it may be taken for known.
LINE_FRESHNESS = timedelta(minutes=10)


class SqlTransaction:
    """One change to a SqlStore.

    What was read is remembered, so that saving a record writes only the
    columns that changed.
    """

    def __init__(self, connection: AsyncConnection, known_lines: Mapping[Line, datetime]) -> None:
        """Take the lines known to be stored; what this adds is in `used_lines`."""
        self._connection = connection
        self._known_lines = known_lines
        self.used_lines: dict[Line, datetime] = {}
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

    async def claim_tasks(self, task_ids: Sequence[str]) -> Sequence[TaskRecord]:
        """Return those of the tasks that are READY, and lock them and their jobs."""
        # Both are locked or neither, and nothing is waited for: so no two changes can come to
        # wait for one another over a claim.
        query = (
            TASKS.join(t.jobs, t.jobs.c.id == t.tasks.c.job_id)
            .where(t.tasks.c.id.in_(list(task_ids)), t.tasks.c.state == TaskState.READY)
            .with_for_update(skip_locked=True)
        )
        found = {record.id: record for record in await self._records(t.tasks, query, TaskRecord)}
        return [found[key] for key in task_ids if key in found]

    async def get_tenant(self, tenant: str) -> TenantRecord:
        """Return a tenant's place in the fair queue and lock it."""
        row = {"tenant": tenant, "finish_rank": 0.0, "claimed_rank": 0.0}
        new = insert_new(self._connection.dialect.name, t.tenants)
        await whole(self._connection.execute(new, [row]))
        query = select_of(t.tenants, TenantRecord).where(t.tenants.c.tenant == tenant)
        found = await fetch_one(self._connection, query.with_for_update(), TenantRecord)
        return found or TenantRecord(tenant=tenant)

    async def get_virtual_time(self) -> float:
        """Return the highest rank of a task that was ever taken."""
        highest = t.tenants.c.claimed_rank
        query = sa.select(highest).order_by(highest.desc()).limit(1)
        found: float | None = (await self._execute(query)).scalar()
        return found or 0.0

    async def get_speed(
        self, *, engine_id: str, codec: str, height_class: int, build_id: str
    ) -> SpeedRecord | None:
        """Return how fast an engine has been, and lock it."""
        query = select_of(t.speeds, SpeedRecord).where(
            t.speeds.c.engine_id == engine_id,
            t.speeds.c.codec == codec,
            t.speeds.c.height_class == height_class,
            t.speeds.c.build_id == build_id,
        )
        return await fetch_one(self._connection, query.with_for_update(), SpeedRecord)

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
        await self._add_terms(job, terms_of(job.labels, job.source_file_name))

    async def _add_terms(self, job: JobRecord, terms: frozenset[str]) -> None:
        rows = [{"tenant": job.tenant, "term": term, "job_id": job.id} for term in sorted(terms)]
        if rows:
            await whole(self._connection.execute(sa.insert(t.job_terms), rows))

    async def add_task(self, task: TaskRecord) -> None:
        """Insert a task, and its line when that is new."""
        await self._insert(t.tasks, task)
        self._seen["tasks", task.id] = task
        await self._stand(task)

    async def _stand(self, task: TaskRecord) -> None:
        """Keep the line of a READY task on record, and how lately it was used."""
        line = Line(task.requirement, task.urgency)
        if task.state is not TaskState.READY or line in self.used_lines:
            return
        used = self._known_lines.get(line)
        if used is not None and task.update_time - used < LINE_FRESHNESS:
            return
        row = {"requirement": line.requirement, "urgency": line.urgency}
        row_time = {"use_time": task.update_time}
        dialect = self._connection.dialect.name
        await whole(self._connection.execute(insert_new(dialect, t.lines), [row | row_time]))
        await self._execute(
            sa.update(t.lines)
            .where(t.lines.c.requirement == line.requirement, t.lines.c.urgency == line.urgency)
            .values(row_time)
        )
        self.used_lines[line] = task.update_time

    async def add_attempt(self, attempt: AttemptRecord) -> None:
        """Insert an attempt."""
        await self._insert(t.attempts, attempt)
        self._seen["attempts", attempt.id] = attempt

    async def add_transition(self, transition: TransitionRecord) -> None:
        """Append to a job's history."""
        await self._insert(t.transitions, transition)

    async def add_event(self, event: OutboxRecord) -> None:
        """Append to the outbox."""
        values = values_of(event)
        del values["number"]
        await self._execute(sa.insert(t.outbox).values(values))

    async def add_request(self, request: RequestRecord) -> None:
        """Insert what a request id was used for."""
        await self._insert(t.requests, request)

    async def save_job(self, job: JobRecord) -> None:
        """Replace a job."""
        old: JobRecord | None = self._seen.get(("jobs", job.id))
        await self._save(t.jobs, job.id, job)
        if old is None or old.labels is not job.labels:
            await self._execute(sa.delete(t.job_terms).where(t.job_terms.c.job_id == job.id))
            await self._add_terms(job, terms_of(job.labels, job.source_file_name))

    async def save_task(self, task: TaskRecord) -> None:
        """Replace a task."""
        await self._save(t.tasks, task.id, task)
        await self._stand(task)

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

    async def put_tenant(self, tenant: TenantRecord) -> None:
        """Replace a tenant's place in the fair queue."""
        await self._execute(
            sa.update(t.tenants)
            .where(t.tenants.c.tenant == tenant.tenant)
            .values(finish_rank=tenant.finish_rank, claimed_rank=tenant.claimed_rank)
        )

    async def put_speed(self, speed: SpeedRecord) -> None:
        """Insert or replace how fast an engine has been."""
        of = t.speeds.c
        await self._execute(
            sa.delete(t.speeds).where(
                of.engine_id == speed.engine_id,
                of.codec == speed.codec,
                of.height_class == speed.height_class,
                of.build_id == speed.build_id,
            )
        )
        await self._insert(t.speeds, speed)

    async def add_benchmark(self, benchmark: BenchmarkRecord) -> None:
        """Append to an engine's benchmarks."""
        await self._insert(t.benchmarks, benchmark)

    async def remove_events(self, numbers: Sequence[int]) -> None:
        """Take events out of the outbox."""
        await self._execute(sa.delete(t.outbox).where(t.outbox.c.number.in_(list(numbers))))

    async def remove_jobs(self, job_ids: Sequence[str]) -> None:
        """Remove jobs with everything about them."""
        await self._execute(sa.delete(t.jobs).where(t.jobs.c.id.in_(list(job_ids))))

    async def remove_expired_requests(self, now: datetime, *, limit: int) -> int:
        """Forget requests whose time has come."""
        of = t.requests.c
        due = sa.select(of.tenant, of.request_id).where(of.expire_time <= now)
        page = [
            tuple(row) for row in await self._execute(due.order_by(of.expire_time).limit(limit))
        ]
        if page:
            key = sa.tuple_(of.tenant, of.request_id)
            await self._execute(sa.delete(t.requests).where(key.in_(page)))
        return len(page)

    async def remove_idle_lines(self, *, unused_since: datetime) -> int:
        """Forget lines without READY tasks that nobody used since."""
        waiting = sa.select(sa.literal(1)).where(
            t.tasks.c.state == sa.literal_column(f"'{TaskState.READY.value}'"),
            t.tasks.c.requirement == t.lines.c.requirement,
            t.tasks.c.urgency == t.lines.c.urgency,
        )
        done = await self._execute(
            sa.delete(t.lines).where(t.lines.c.use_time < unused_since, sa.not_(waiting.exists()))
        )
        return done.rowcount

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
