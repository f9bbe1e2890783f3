"""Reading jobs, their attempts and history from a SQL database."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from distconv.core.states import TERMINAL as ENDED_JOB_STATES
from distconv.dispatch.store import tables as t
from distconv.dispatch.store.queries import JobQuery
from distconv.dispatch.store.records import (
    AttemptRecord,
    JobRecord,
    OutboxRecord,
    RequestRecord,
    TransitionRecord,
)
from distconv.dispatch.store.sql_conditions import created_within, has_term, tried
from distconv.dispatch.store.sql_reader import SqlReader
from distconv.dispatch.store.statements import (
    ATTEMPTS,
    IN_TIME,
    JOBS,
    begins,
    requests_of,
    select_of,
)

OF_ENDED_JOB = t.jobs.c.state.in_(sorted(ENDED_JOB_STATES))
# Where jobs are looked for along what an engine had.
_LAST = t.attempts.alias("of_engine")
_OF_ENGINE = _LAST.c


class SqlJobReads(SqlReader):
    """The part of a store that tells of jobs."""

    async def get_job(self, job_id: str) -> JobRecord | None:
        """Return a job."""
        return await self._read_one(JOBS.where(t.jobs.c.id == job_id), JobRecord)

    async def find_jobs(self, tenant: str, prefix: str, *, limit: int = 2) -> Sequence[JobRecord]:
        """Return the tenant's jobs whose ids begin with `prefix`."""
        query = JOBS.where(t.jobs.c.tenant == tenant, *begins(t.jobs.c.id, prefix))
        return await self._read_all(query.order_by(t.jobs.c.id).limit(limit), JobRecord)

    async def list_jobs(self, query: JobQuery) -> Sequence[JobRecord]:
        """Return a page of jobs, in the query's order."""
        by_id = query.order.field == "create_time"
        column = t.jobs.c.id if by_id else t.jobs.c[query.order.field]
        if _along_engine(query):
            column = _OF_ENGINE.job_id
        value = query.after if by_id else query.after_value
        select = JOBS.select_from(_source(query)).where(*_matches(query)).limit(query.limit)
        if query.order.is_descending:
            select = select.order_by(column.desc(), t.jobs.c.id.desc())
        else:
            select = select.order_by(column, t.jobs.c.id)
        if query.after:
            place = sa.tuple_(column, t.jobs.c.id)
            last = sa.tuple_(
                sa.literal(value, column.type), sa.literal(query.after, t.jobs.c.id.type)
            )
            select = select.where(place < last if query.order.is_descending else place > last)
        return await self._read_all(select, JobRecord)

    async def count_jobs(self, query: JobQuery) -> int:
        """Count the matches of a query."""
        counted = sa.select(sa.func.count()).select_from(_source(query)).where(*_matches(query))
        return int(await self._scalar(counted))

    async def list_deleted_jobs(self, before: datetime, *, limit: int) -> Sequence[JobRecord]:
        """Return jobs that were deleted before."""
        gone = t.jobs.c.delete_time
        query = JOBS.where(gone < before).order_by(gone, t.jobs.c.id).limit(limit)
        return await self._read_all(query, JobRecord)

    async def get_next_delete_time(self) -> datetime | None:
        """Return when the job was deleted that was deleted the longest ago."""
        return await self._earliest(t.jobs.c.delete_time)

    async def get_probed_job(self, tenant: str, source_object_id: str) -> JobRecord | None:
        """Return a job of the tenant that knows what is in a source."""
        query = JOBS.where(
            t.jobs.c.tenant == tenant,
            t.jobs.c.source_object_id == source_object_id,
            t.jobs.c.source_media.is_not(None),
        )
        return await self._read_one(query.limit(1), JobRecord)

    async def list_attempts(self, job_id: str) -> Sequence[AttemptRecord]:
        """Return every attempt at a job's tasks."""
        query = ATTEMPTS.where(t.attempts.c.job_id == job_id).order_by(*IN_TIME)
        return await self._read_all(query, AttemptRecord)

    async def list_attempts_at(self, task_ids: Sequence[str]) -> Sequence[AttemptRecord]:
        """Return every attempt at the tasks."""
        query = ATTEMPTS.where(t.attempts.c.task_id.in_(task_ids)).order_by(*IN_TIME)
        return await self._read_all(query, AttemptRecord)

    async def list_transitions(self, job_id: str) -> Sequence[TransitionRecord]:
        """Return a job's history."""
        query = select_of(t.transitions, TransitionRecord).where(t.transitions.c.job_id == job_id)
        return await self._read_all(query.order_by(t.transitions.c.number), TransitionRecord)

    async def list_events(self, *, limit: int) -> Sequence[OutboxRecord]:
        """Return the oldest events of the outbox."""
        query = select_of(t.outbox, OutboxRecord).order_by(t.outbox.c.number).limit(limit)
        return await self._read_all(query, OutboxRecord)

    async def list_requests(
        self, tenant: str, request_ids: Sequence[str]
    ) -> Sequence[RequestRecord]:
        """Return what request ids were used for; those that are new are left out."""
        return [
            request
            for query in requests_of(tenant, request_ids)
            for request in await self._read_all(query, RequestRecord)
        ]

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
                sa.not_(OF_ENDED_JOB),
            )
            .limit(1)
        )
        return await self._scalar(query) is not None


def _source(query: JobQuery) -> sa.FromClause:
    """Return where jobs are looked for: everywhere, or along a term of the inverted index."""
    if _along_engine(query):
        return t.jobs.join(_LAST, _OF_ENGINE.job_id == t.jobs.c.id)
    if not query.terms:
        return t.jobs
    of = t.job_terms.c
    along = sa.and_(of.job_id == t.jobs.c.id, of.tenant == query.tenant, of.term == query.terms[0])
    return t.jobs.join(t.job_terms, along)


def _matches(query: JobQuery) -> list[sa.ColumnElement[bool]]:
    jobs = t.jobs.c
    found: list[sa.ColumnElement[bool]] = [jobs.tenant == query.tenant]
    if not query.show_deleted:
        found.append(jobs.delete_time.is_(None))
    if query.order.field == "end_time":
        found.append(jobs.end_time.is_not(None))
    if query.states is not None:
        found.append(jobs.state.in_(sorted(query.states)))
    if query.profile_name is not None:
        found.append(jobs.profile_name == query.profile_name)
    if query.engine_id is not None:
        found.extend(_had(query, query.engine_id))
    found.extend(has_term(query.tenant, term, jobs.id) for term in query.terms[1:])
    found.extend(created_within(t.jobs, query.created_after, query.created_before))
    return found


def _along_engine(query: JobQuery) -> bool:
    """Tell whether jobs are looked for along the attempts of an engine, newest or oldest first.

    An engine that had few jobs of a million is so found at what these few cost.
    """
    return query.engine_id is not None and not query.terms and query.order.field == "create_time"


def _had(query: JobQuery, engine_id: str) -> Sequence[sa.ColumnElement[bool]]:
    if _along_engine(query):
        return (_OF_ENGINE.engine_id == engine_id, _is_last(engine_id))
    return (tried(t.attempts.c.job_id, t.jobs.c.id, engine_id),)


def _is_last(engine_id: str) -> sa.ColumnElement[bool]:
    """Tell that it is the last attempt of the engine at its job: each job is listed once."""
    later = t.attempts.alias().c
    there = sa.select(sa.literal(1)).where(
        later.engine_id == engine_id,
        later.job_id == _OF_ENGINE.job_id,
        later.id > _OF_ENGINE.id,
    )
    return ~there.exists()
