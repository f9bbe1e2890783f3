"""Statements of the SQL store, and how their rows become records."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from distconv.dispatch.store import tables as t
from distconv.dispatch.store.records import (
    AccountRecord,
    AttemptRecord,
    EngineRecord,
    JobRecord,
    RequestRecord,
    SpeedRecord,
    TaskRecord,
)
from distconv.dispatch.store.whole import whole

_R = TypeVar("_R")
# SQLite takes 32766 values in a statement by default, PostgreSQL as many.
_IDS_AT_ONCE = 5000


def select_of(table: sa.Table, record: type) -> sa.Select[Any]:
    """Select the columns of a table that are the fields of a record, in their order."""
    return sa.select(*(table.c[f.name] for f in dataclasses.fields(record)))


def field_names(record: type) -> tuple[str, ...]:
    """Return the names of a record's fields, which are its columns."""
    names = _NAMES.get(record)
    if names is None:
        names = _NAMES[record] = tuple(f.name for f in dataclasses.fields(record))
    return names


_NAMES: dict[type, tuple[str, ...]] = {}


def records(rows: Iterable[Sequence[Any]], kind: type[_R]) -> list[_R]:
    """Return rows of `select_of` as records."""
    names = field_names(kind)
    return [kind(**dict(zip(names, row, strict=True))) for row in rows]


def requests_of(tenant: str, request_ids: Sequence[str]) -> Iterator[sa.Select[Any]]:
    """Select what request ids were used for, a statement for as many as databases take at once."""
    for start in range(0, len(request_ids), _IDS_AT_ONCE):
        part = request_ids[start : start + _IDS_AT_ONCE]
        yield select_of(t.requests, RequestRecord).where(
            t.requests.c.tenant == tenant, t.requests.c.request_id.in_(part)
        )


async def fetch_one(connection: AsyncConnection, query: sa.Executable, kind: type[_R]) -> _R | None:
    """Return the first record of a query, None when it has none."""
    row = (await whole(connection.execute(query))).first()
    return None if row is None else records([row], kind)[0]


async def fetch_all(
    connection: AsyncConnection,
    query: sa.Executable,
    kind: type[_R],
    parameters: dict[str, Any] | None = None,
) -> list[_R]:
    """Return the records of a query."""
    return records(await whole(connection.execute(query, parameters)), kind)


JOBS = select_of(t.jobs, JobRecord)
TASKS = select_of(t.tasks, TaskRecord)
ATTEMPTS = select_of(t.attempts, AttemptRecord)
ENGINES = select_of(t.engines, EngineRecord)
ACCOUNTS = select_of(t.accounts, AccountRecord)
SPEEDS = select_of(t.speeds, SpeedRecord)
LIVE = t.attempts.c.lease_expire_time.is_not(None)
IN_TIME = (t.attempts.c.create_time, t.attempts.c.fencing_token, t.attempts.c.id)

# Higher than every character of an id: the end of a range of ids with one prefix.
_BEYOND = "~"


def begins(column: sa.Column[Any], prefix: str) -> tuple[sa.ColumnElement[bool], ...]:
    """Tell that an id begins with `prefix`, so that an index serves it."""
    return column >= prefix, column < prefix + _BEYOND


def literal_state(column: sa.Column[Any], value: str) -> sa.ColumnElement[bool]:
    """Compare with a state in the text of a statement.

    A partial index is used only where its condition can be seen.
    """
    return column == sa.literal_column(f"'{value}'")
