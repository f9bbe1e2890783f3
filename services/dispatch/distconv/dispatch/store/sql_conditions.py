"""Conditions on jobs and tasks that an index serves."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from distconv.core.ids import new_id
from distconv.dispatch.store import tables as t

# Ids begin with the time at which they were made, a little after `create_time` was read.
_ID_SLACK = timedelta(minutes=1)
# Before and after these, ids cannot be made: they narrow nothing.
_FIRST_ID_TIME = datetime(1971, 1, 1, tzinfo=UTC)
_LAST_ID_TIME = datetime(3000, 1, 1, tzinfo=UTC)


def created_within(
    table: sa.Table, after: datetime | None, before: datetime | None
) -> Sequence[sa.ColumnElement[bool]]:
    """Tell that a row was created from `after` on, and before `before`; by its id too."""
    found: list[sa.ColumnElement[bool]] = []
    if after is not None:
        found.append(table.c.create_time >= after)
        if after > _FIRST_ID_TIME:
            found.append(table.c.id >= _first_id(after - _ID_SLACK))
    if before is not None:
        found.append(table.c.create_time < before)
        if before < _LAST_ID_TIME:
            found.append(table.c.id <= _first_id(before + _ID_SLACK))
    return found


def _first_id(time: datetime) -> str:
    within = min(max(time, _FIRST_ID_TIME), _LAST_ID_TIME)
    return new_id(within, randomness=0)


def tried(of: sa.Column[Any], key: sa.Column[Any], engine_id: str) -> sa.ColumnElement[bool]:
    """Tell that an engine made an attempt."""
    there = sa.select(sa.literal(1)).where(of == key, t.attempts.c.engine_id == engine_id)
    return there.exists()


def has_term(tenant: str, term: str, job_id: sa.Column[Any]) -> sa.ColumnElement[bool]:
    """Tell that a job has a term."""
    of = t.job_terms.alias().c
    there = sa.select(sa.literal(1)).where(
        of.tenant == tenant, of.term == term, of.job_id == job_id
    )
    return there.exists()
