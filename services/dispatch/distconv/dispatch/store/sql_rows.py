"""A transaction on a SQL database: what a unit of work reads and locks."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from distconv.core.task_states import TaskState
from distconv.dispatch.store import tables as t
from distconv.dispatch.store.dialects import insert_new, list_value, listed, of_pairs
from distconv.dispatch.store.front import Front, LineFront
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.line_queries import CLAIMED_RANK, LINE_FRONTS
from distconv.dispatch.store.line_times import LineTimes
from distconv.dispatch.store.queries import Line
from distconv.dispatch.store.records import (
    AccountRecord,
    AttemptRecord,
    EngineRecord,
    GarbageRecord,
    JobRecord,
    RequestRecord,
    SpeedRecord,
    TaskRecord,
)
from distconv.dispatch.store.rows import AccountKey, Loaded, RequestKey, SpeedKey, Writes
from distconv.dispatch.store.sql_jobs import OF_ENDED_JOB
from distconv.dispatch.store.sql_writer import SqlWriter
from distconv.dispatch.store.statements import (
    ACCOUNTS,
    ATTEMPTS,
    ENGINES,
    JOBS,
    LIVE,
    SPEEDS,
    TASKS,
    literal_state,
    records,
    select_of,
)
from distconv.dispatch.store.whole import whole

_R = TypeVar("_R")


class _Statements(NamedTuple):
    """The statements of a group of changes: constant texts, each with lists as parameters."""

    jobs: sa.Select[Any]
    tasks: sa.Select[Any]
    attempts: sa.Select[Any]
    leases: sa.Select[Any]
    held_leases: sa.Select[Any]
    engines: sa.Select[Any]
    accounts: sa.Select[Any]
    garbage: sa.Select[Any]
    requests: sa.Select[Any]
    plans: sa.Select[Any]
    claim: sa.Select[Any]
    of_claimed: sa.Select[Any]


@cache
def _statements(dialect: str) -> _Statements:
    attempts, tasks = t.attempts.c, t.tasks.c
    # A job is locked before its tasks, those before their attempts, each by its id: two changes
    # never wait for one another in a ring.
    some_attempts = listed(dialect, "attempts")
    leases = ATTEMPTS.where(attempts.id.in_(listed(dialect, "leases")))
    of_attempts = sa.select(attempts.job_id).where(attempts.id.in_(some_attempts))
    of_tasks = sa.select(tasks.job_id).where(tasks.id.in_(listed(dialect, "tasks")))
    job_ids = sa.union(listed(dialect, "jobs"), of_attempts, of_tasks)
    task_ids = sa.union(
        listed(dialect, "tasks"),
        sa.select(attempts.task_id).where(attempts.id.in_(some_attempts)),
    )
    return _Statements(
        jobs=_locked(JOBS.where(t.jobs.c.id.in_(job_ids)).order_by(t.jobs.c.id)),
        tasks=_locked(TASKS.where(tasks.id.in_(task_ids)).order_by(tasks.id)),
        attempts=_locked(ATTEMPTS.where(attempts.id.in_(some_attempts)).order_by(attempts.id)),
        leases=leases.order_by(attempts.id).with_for_update(key_share=True, skip_locked=True),
        held_leases=leases,
        engines=_locked(
            ENGINES.where(t.engines.c.id.in_(listed(dialect, "engines"))).order_by(t.engines.c.id)
        ),
        accounts=_locked(
            ACCOUNTS.where(
                t.accounts.c.tenant.in_(listed(dialect, "tenants", of_ids=False))
            ).order_by(t.accounts.c.tenant, t.accounts.c.urgency)
        ),
        garbage=_locked(
            select_of(t.garbage, GarbageRecord)
            .where(t.garbage.c.object_id.in_(listed(dialect, "garbage")))
            .order_by(t.garbage.c.object_id)
        ),
        requests=of_pairs(
            dialect,
            select_of(t.requests, RequestRecord),
            (t.requests.c.tenant, t.requests.c.request_id),
            ("tenants", "requests"),
        ),
        plans=_locked(TASKS.where(tasks.job_id.in_(listed(dialect, "jobs"))).order_by(tasks.id)),
        # Task and job are locked both or neither, and nothing is waited for.
        claim=TASKS.join(t.jobs, t.jobs.c.id == tasks.job_id)
        .where(tasks.id.in_(listed(dialect, "tasks")), literal_state(tasks.state, TaskState.READY))
        .with_for_update(skip_locked=True, key_share=True),
        of_claimed=JOBS.where(t.jobs.c.id.in_(listed(dialect, "jobs"))),
    )


def _locked(query: sa.Select[Any]) -> sa.Select[Any]:
    # Against changes alone: rows that refer to this one may be added meanwhile.
    return query.with_for_update(key_share=True)


class SqlRows:
    """Read and lock the rows of a SQL database, and write them."""

    def __init__(self, connection: AsyncConnection, writer: SqlWriter) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name
        self._writer = writer
        self.broken = False
        self.line_times = LineTimes()

    async def load(self, keys: Keys) -> Loaded:
        """Read what the keys name, with the jobs and tasks that belong to it."""
        q = _statements(self._dialect)
        found = Loaded()
        if keys.attempts or keys.tasks or keys.jobs:
            found.jobs = await self._all(
                q.jobs, JobRecord, jobs=keys.jobs, tasks=keys.tasks, attempts=keys.attempts
            )
        if keys.attempts or keys.tasks:
            found.tasks = await self._all(
                q.tasks, TaskRecord, tasks=keys.tasks, attempts=keys.attempts
            )
        if keys.attempts:
            found.attempts = await self._all(q.attempts, AttemptRecord, attempts=keys.attempts)
        if keys.leases:
            leases = await self._all(q.leases, AttemptRecord, leases=keys.leases)
            found.attempts = [*found.attempts, *leases]
            if missing := sorted(set(keys.leases) - {attempt.id for attempt in leases}):
                found.held_leases = await self._all(q.held_leases, AttemptRecord, leases=missing)
        if keys.engines:
            found.engines = await self._all(q.engines, EngineRecord, engines=keys.engines)
        if keys.garbage:
            found.garbage = await self._all(q.garbage, GarbageRecord, garbage=keys.garbage)
        if keys.requests:
            found.requests = await self._load_requests(keys.requests)
        if keys.tenants:
            found.accounts = await self._all(q.accounts, AccountRecord, tenants=keys.tenants)
        return found

    async def load_account(self, key: AccountKey) -> AccountRecord:
        """Read an account, made first when it is not there, so that there is a row to lock."""
        tenant, urgency = key
        new = {"tenant": tenant, "urgency": urgency, "finish_rank": 0.0, "claimed_rank": 0.0}
        await self._run(insert_new(self._dialect, t.accounts), [new])
        of = t.accounts.c
        query = _locked(ACCOUNTS.where(of.tenant == tenant, of.urgency == urgency))
        found = await self._one(query, AccountRecord)
        return found or AccountRecord(tenant=tenant, urgency=urgency)

    async def _load_requests(self, keys: Sequence[RequestKey]) -> Sequence[RequestRecord]:
        return await self._all(
            _statements(self._dialect).requests,
            RequestRecord,
            tenants=[tenant for tenant, _ in keys],
            requests=[request_id for _, request_id in keys],
        )

    async def load_tasks_of(self, job_ids: Sequence[str]) -> Sequence[TaskRecord]:
        """Read every task of jobs."""
        return await self._all(_statements(self._dialect).plans, TaskRecord, jobs=job_ids)

    async def load_live_attempts(
        self, *, job_id: str = "", engine_id: str = ""
    ) -> Sequence[AttemptRecord]:
        """Read the live attempts of a job or of an engine."""
        of = t.attempts.c
        whose = of.job_id == job_id if job_id else of.engine_id == engine_id
        return await self._all(_locked(ATTEMPTS.where(whose, LIVE).order_by(of.id)), AttemptRecord)

    async def load_expired_requests(self, now: datetime, limit: int) -> Sequence[RequestRecord]:
        """Read requests whose time has come."""
        due = t.requests.c.expire_time
        query = select_of(t.requests, RequestRecord).where(due <= now).order_by(due).limit(limit)
        return await self._all(query, RequestRecord)

    async def load_speed(self, key: SpeedKey) -> SpeedRecord | None:
        """Read how fast an engine has been."""
        of = t.speeds.c
        engine_id, codec, height_class, build_id = key
        query = SPEEDS.where(
            of.engine_id == engine_id,
            of.codec == codec,
            of.height_class == height_class,
            of.build_id == build_id,
        )
        return await self._one(_locked(query), SpeedRecord)

    async def load_readers(self, tenant: str, object_id: str) -> Sequence[str]:
        """Read the ids of the jobs that have not ended and whose source is the object."""
        of = t.jobs.c
        query = sa.select(of.id).where(
            of.tenant == tenant, of.source_object_id == object_id, sa.not_(OF_ENDED_JOB)
        )
        return [row.id for row in await self._run(query)]

    async def load_idle_lines(self, unused_since: datetime) -> Sequence[Line]:
        """Read the lines without READY tasks that nobody used since."""
        lines, tasks = t.lines.c, t.tasks.c
        waiting = sa.select(sa.literal(1)).where(
            literal_state(tasks.state, TaskState.READY),
            tasks.requirement == lines.requirement,
            tasks.urgency == lines.urgency,
        )
        query = sa.select(lines.requirement, lines.urgency).where(
            lines.use_time < unused_since, sa.not_(waiting.exists())
        )
        return [Line(*row) for row in await self._run(query)]

    async def claim(self, task_ids: Sequence[str]) -> Loaded:
        """Read those of the tasks that are READY, and their jobs; wait for no lock."""
        q = _statements(self._dialect)
        tasks = await self._all(q.claim, TaskRecord, tasks=task_ids)
        if not tasks:
            return Loaded()
        job_ids = sorted({task.job_id for task in tasks})
        return Loaded(tasks=tasks, jobs=await self._all(q.of_claimed, JobRecord, jobs=job_ids))

    async def load_front(self, urgency: int) -> Front:
        """Read how far the tasks of an urgency have been served."""
        claimed = (await self._run(CLAIMED_RANK, {"urgency": urgency})).scalar()
        lines = await self._run(LINE_FRONTS, {"urgency": urgency})
        return Front.of(claimed or 0.0, [LineFront(head_rank=h, claim_time=c) for h, c in lines])

    async def write(self, writes: Writes) -> None:
        """Write everything."""
        self.line_times = await self._writer.write(self._connection, writes)

    async def _all(self, query: sa.Select[Any], kind: type[_R], **lists: Sequence[str]) -> list[_R]:
        values = {name: list_value(self._dialect, keys) for name, keys in lists.items()}
        return records(await self._run(query, values or None), kind)

    async def _one(self, query: sa.Select[Any], kind: type[_R]) -> _R | None:
        return next(iter(records(await self._run(query), kind)), None)

    async def _run(self, statement: sa.Executable, parameters: Any = None) -> Any:
        try:
            return await whole(self._connection.execute(statement, parameters))
        except BaseException:
            # The database forgets such a transaction, whatever is made of the error.
            self.broken = True
            raise
