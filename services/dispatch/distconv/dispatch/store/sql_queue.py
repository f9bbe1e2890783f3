"""Reading what waits and what is due from a SQL database."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from distconv.dispatch.store import tables as t
from distconv.dispatch.store.line_queries import COUNT_BEFORE, LINE_HEADS, heads
from distconv.dispatch.store.queries import Line, LineHead
from distconv.dispatch.store.records import (
    AccountRecord,
    AttemptRecord,
    GarbageRecord,
    JobRecord,
    TaskRecord,
)
from distconv.dispatch.store.sql_jobs import OF_ENDED_JOB
from distconv.dispatch.store.sql_reader import SqlReader
from distconv.dispatch.store.statements import (
    ACCOUNTS,
    ATTEMPTS,
    JOBS,
    TASKS,
    fetch_all,
    select_of,
)
from distconv.dispatch.store.whole import whole

# So many lines are asked for in one statement: SQLite takes 500 parts at most.
_LINES_PER_QUERY = 100


class SqlQueueReads(SqlReader):
    """The part of a store that tells what waits, in which order, and what is due."""

    async def list_accounts(self) -> Sequence[AccountRecord]:
        """Return every tenant's accounts in the fair queue."""
        query = ACCOUNTS.order_by(t.accounts.c.tenant, t.accounts.c.urgency)
        return await self._read_all(query, AccountRecord)

    async def list_lines(self) -> Sequence[Line]:
        """Return the lines in which a READY task may stand."""
        lines = t.lines.c
        query = sa.select(lines.requirement, lines.urgency).order_by(*lines)
        return [Line(*row) for row in await self._read_rows(query)]

    async def list_requirements(self) -> Sequence[str]:
        """Return the requirement sets of the lines."""
        return sorted({line.requirement for line in await self.list_lines()})

    async def list_line_heads(self, *, lines: Sequence[Line]) -> Sequence[LineHead]:
        """Return the first READY task of each line."""
        wanted = set(lines)
        parameters = {"requirements": sorted({line.requirement for line in lines})}

        async def read(connection: AsyncConnection) -> list[LineHead]:
            return await fetch_all(connection, LINE_HEADS, LineHead, parameters)

        found = await self._read(read) if lines else []
        return sorted((h for h in found if h.line in wanted), key=lambda head: head.line)

    async def list_ready_heads(self, *, lines: Sequence[Line], limit: int) -> Sequence[TaskRecord]:
        """Return the first tasks of the lines."""
        found: list[TaskRecord] = []
        for k in range(0, len(lines), _LINES_PER_QUERY):
            found += await self._heads(lines[k : k + _LINES_PER_QUERY], limit)
        return sorted(found, key=lambda h: (-h.urgency, h.requirement, h.rank, h.id))

    async def _heads(self, lines: Sequence[Line], limit: int) -> list[TaskRecord]:
        query, parameters = heads(self._engine.dialect.name, lines, limit)
        return await self._read(
            lambda connection: fetch_all(connection, query, TaskRecord, parameters)
        )

    async def count_ready_before(
        self, task: TaskRecord, *, requirements: Sequence[str], limit: int = 1000
    ) -> int:
        """Count READY tasks with one of the requirement sets that come before `task`."""
        parameters = {
            "requirements": list(requirements),
            "urgency": task.urgency,
            "rank": task.rank,
            "id": task.id,
            "limit": limit,
        }

        async def count(connection: AsyncConnection) -> int:
            found = await whole(connection.execute(COUNT_BEFORE, parameters))
            return int(found.scalar_one())

        return min(await self._read(count), limit)

    async def list_due_promotions(self, now: datetime, *, limit: int) -> Sequence[TaskRecord]:
        """Return tasks whose `promote_time` has come."""
        due = t.tasks.c.promote_time
        query = TASKS.where(due <= now).order_by(due, t.tasks.c.id).limit(limit)
        return await self._read_all(query, TaskRecord)

    async def get_next_promote_time(self) -> datetime | None:
        """Return when the next task is to be promoted."""
        return await self._earliest(t.tasks.c.promote_time)

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
        query = JOBS.where(due <= now, sa.not_(OF_ENDED_JOB)).order_by(due, t.jobs.c.id)
        return await self._read_all(query.limit(limit), JobRecord)

    async def get_next_job_expiry(self) -> datetime | None:
        """Return when the next ttl ends."""
        return await self._earliest(t.jobs.c.expire_time, sa.not_(OF_ENDED_JOB))

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
