"""Statements that reading and changing have in common, and how their rows become records."""

import dataclasses
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from distconv.dispatch.store import tables as t
from distconv.dispatch.store.records import (
    AttemptRecord,
    EngineRecord,
    JobRecord,
    RequestRecord,
    TaskRecord,
)
from distconv.dispatch.store.whole import whole

_R = TypeVar("_R")


def select_of(table: sa.Table, record: type) -> sa.Select[Any]:
    """Select the columns of a table that are the fields of a record, in their order."""
    return sa.select(*(table.c[f.name] for f in dataclasses.fields(record)))


def values_of(record: Any) -> dict[str, Any]:
    """Return the columns of a record by name."""
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}


def request_of(tenant: str, request_id: str) -> sa.Select[Any]:
    """Select what a request id was used for."""
    return select_of(t.requests, RequestRecord).where(
        t.requests.c.tenant == tenant, t.requests.c.request_id == request_id
    )


async def fetch_one(connection: AsyncConnection, query: sa.Executable, kind: type[_R]) -> _R | None:
    """Return the first record of a query, None when it has none."""
    row = (await whole(connection.execute(query))).first()
    return None if row is None else kind(**row._mapping)  # noqa: SLF001  # its documented name


async def fetch_all(connection: AsyncConnection, query: sa.Executable, kind: type[_R]) -> list[_R]:
    """Return the records of a query."""
    return [kind(**row._mapping) for row in await whole(connection.execute(query))]  # noqa: SLF001


JOBS = select_of(t.jobs, JobRecord)
TASKS = select_of(t.tasks, TaskRecord)
ATTEMPTS = select_of(t.attempts, AttemptRecord)
ENGINES = select_of(t.engines, EngineRecord)
LIVE = t.attempts.c.lease_expire_time.is_not(None)
IN_TIME = (t.attempts.c.create_time, t.attempts.c.fencing_token, t.attempts.c.id)

# Higher than every character of an id: the end of a range of ids with one prefix.
_BEYOND = "~"


def begins(column: sa.Column[Any], prefix: str) -> tuple[sa.ColumnElement[bool], ...]:
    """Tell that an id begins with `prefix`, so that an index serves it."""
    return column >= prefix, column < prefix + _BEYOND


def insert_new(dialect: str, table: sa.Table) -> sa.Insert:
    """Insert rows, passing over those whose key stands already."""
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()
