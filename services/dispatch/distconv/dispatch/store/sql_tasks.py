"""Reading tasks from a SQL database: of one job, or of all along what was asked for."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from distconv.dispatch.store import tables as t
from distconv.dispatch.store.queries import TaskOrder, TaskQuery
from distconv.dispatch.store.records import TaskRecord
from distconv.dispatch.store.sql_conditions import created_within, has_term, tried
from distconv.dispatch.store.sql_reader import SqlReader
from distconv.dispatch.store.statements import TASKS

# Where tasks are looked for along what an engine had.
_LAST = t.attempts.alias("of_engine")
_OF_ENGINE = _LAST.c


class SqlTaskReads(SqlReader):
    """The part of a store that tells of tasks."""

    async def find_tasks(self, query: TaskQuery) -> Sequence[TaskRecord]:
        """Return a page of tasks, in the query's order."""
        by = _order(query)
        select = TASKS.select_from(_source(query)).where(*_matches(query)).limit(query.limit)
        select = select.order_by(*(c.desc() if query.is_descending else c for c in by))
        if query.after:
            values = (query.after_value, query.after)[-len(by) :]
            if query.order_field is TaskOrder.PLAN:
                values = (query.after_value,)
            place = sa.tuple_(*by)
            last = sa.tuple_(*(sa.literal(v, c.type) for v, c in zip(values, by, strict=True)))
            select = select.where(place < last if query.is_descending else place > last)
        return await self._read_all(select, TaskRecord)

    async def count_tasks(self, query: TaskQuery) -> int:
        """Count the matches of a query."""
        counted = sa.select(sa.func.count()).select_from(_source(query)).where(*_matches(query))
        return int(await self._scalar(counted))

    async def list_tasks(self, job_id: str) -> Sequence[TaskRecord]:
        """Return a job's tasks in the order of the plan."""
        query = TASKS.where(t.tasks.c.job_id == job_id).order_by(t.tasks.c.ordinal)
        return await self._read_all(query, TaskRecord)

    async def list_tasks_of(self, job_ids: Sequence[str]) -> Sequence[TaskRecord]:
        """Return the tasks of jobs, of each in the order of its plan."""
        of = t.tasks.c
        query = TASKS.where(of.job_id.in_(job_ids)).order_by(of.job_id, of.ordinal)
        return await self._read_all(query, TaskRecord) if job_ids else ()


def _order(query: TaskQuery) -> Sequence[sa.ColumnElement[Any]]:
    """Return what tasks are sorted by: columns of what they are looked for along."""
    match query.order_field:
        case TaskOrder.PLAN:
            return (t.tasks.c.ordinal,)
        case TaskOrder.JOB:
            return (_job_id(query), t.tasks.c.id)
        case _:
            return (t.tasks.c.id,)


def _job_id(query: TaskQuery) -> sa.ColumnElement[str]:
    if _along_engine(query):
        return _OF_ENGINE.job_id
    return t.job_terms.c.job_id if query.terms else t.jobs.c.id


def _source(query: TaskQuery) -> sa.FromClause:
    """Return where tasks are looked for.

    Along the attempts of an engine, along a term of the inverted index or along
    the jobs of a profile: what is rare among a million is so found at what it costs.
    """
    if query.order_field is not TaskOrder.JOB:
        return t.tasks
    if _along_engine(query):
        found: sa.FromClause = t.tasks.join(_LAST, _OF_ENGINE.task_id == t.tasks.c.id)
    elif query.terms:
        found = t.tasks.join(t.job_terms, t.job_terms.c.job_id == t.tasks.c.job_id)
    else:
        return t.tasks.join(t.jobs, t.jobs.c.id == t.tasks.c.job_id)
    if query.profile_name is None:
        return found
    return found.join(t.jobs, t.jobs.c.id == t.tasks.c.job_id)


def _along_engine(query: TaskQuery) -> bool:
    return query.engine_id is not None and not query.terms and query.job_id is None


def _matches(query: TaskQuery) -> list[sa.ColumnElement[bool]]:
    tasks = t.tasks.c
    found: list[sa.ColumnElement[bool]] = [tasks.tenant == query.tenant]
    if query.job_id is not None:
        found.append(tasks.job_id == query.job_id)
    if query.states is not None:
        found.append(tasks.state.in_(sorted(query.states)))
    if query.kinds is not None:
        found.append(tasks.kind.in_(sorted(query.kinds)))
    found.extend(_of_job(query))
    if query.engine_id is not None:
        if _along_engine(query):
            found += [_OF_ENGINE.engine_id == query.engine_id, _is_last(query.engine_id)]
        else:
            found.append(tried(t.attempts.c.task_id, tasks.id, query.engine_id))
    found.extend(created_within(t.tasks, query.created_after, query.created_before))
    return found


def _of_job(query: TaskQuery) -> list[sa.ColumnElement[bool]]:
    """Return what is asked of the tasks' jobs."""
    tasks, terms, found = t.tasks.c, list(query.terms), list[sa.ColumnElement[bool]]()
    if terms and query.job_id is None:
        of = t.job_terms.c
        found += [of.tenant == query.tenant, of.term == terms.pop(0)]
    found.extend(has_term(query.tenant, term, tasks.job_id) for term in terms)
    if query.profile_name is not None:
        jobs = t.jobs.c
        if query.job_id is None:
            found += [jobs.tenant == query.tenant, jobs.profile_name == query.profile_name]
        else:
            there = sa.select(sa.literal(1)).where(
                jobs.id == tasks.job_id, jobs.profile_name == query.profile_name
            )
            found.append(there.exists())
    return found


def _is_last(engine_id: str) -> sa.ColumnElement[bool]:
    """Tell that it is the last attempt of the engine at its task: each task is listed once."""
    later = t.attempts.alias().c
    there = sa.select(sa.literal(1)).where(
        later.engine_id == engine_id,
        later.job_id == _OF_ENGINE.job_id,
        later.task_id == _OF_ENGINE.task_id,
        later.id > _OF_ENGINE.id,
    )
    return ~there.exists()
