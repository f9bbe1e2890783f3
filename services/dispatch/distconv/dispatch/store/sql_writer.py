"""Write what a unit of work wrote: few statements, each for many rows, in a fixed order.

The order of tables and keys is the same in every process, so that two of them
never wait for one another in a ring.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import repeat
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from distconv.core.task_states import TaskState
from distconv.dispatch.store import tables as t
from distconv.dispatch.store.bulk import BulkTable, bulk_table
from distconv.dispatch.store.queries import Line
from distconv.dispatch.store.records import JobRecord, TaskRecord
from distconv.dispatch.store.rows import Writes
from distconv.dispatch.store.shelf import Written
from distconv.dispatch.store.statements import upsert, values_of
from distconv.dispatch.store.terms import terms_of

# A line's `use_time` is renewed when it is older. What is younger is not forgotten by any
# replica (`remove_idle_lines` is asked with much longer spans), so it may be taken for known.
LINE_FRESHNESS = timedelta(minutes=10)

_Changes = dict[tuple[str, ...], list[tuple[Any, ...]]]
# What no value is equal to.
_UNKNOWN = object()


class SqlWriter:
    """Write to one database, and remember which lines it has."""

    def __init__(self) -> None:
        self._known_lines: dict[Line, datetime] = {}

    async def write(self, connection: AsyncConnection, writes: Writes) -> Mapping[Line, datetime]:
        """Write everything; return the lines to be told of to `committed`."""
        dialect = connection.dialect.name
        used = self._fresh_lines(writes.tasks)
        if used:
            rows = [
                {"requirement": line.requirement, "urgency": line.urgency, "use_time": time}
                for line, time in sorted(used.items())
            ]
            await connection.execute(upsert(dialect, t.lines), rows)
        for table, written in (
            (t.jobs, writes.jobs),
            (t.tasks, writes.tasks),
            (t.attempts, writes.attempts),
            (t.engines, writes.engines),
            (t.tenants, writes.tenants),
            (t.requests, writes.requests),
        ):
            await _write(connection, table, written)
        await _write_terms(connection, writes.jobs)
        await _replace(connection, t.speeds, writes.speeds)
        await _replace(connection, t.garbage, writes.garbage)
        for table, appended in (
            (t.transitions, writes.transitions),
            (t.outbox, writes.events),
            (t.benchmarks, writes.benchmarks),
        ):
            bulk = bulk_table(connection.dialect, table)
            await bulk.insert.run(connection, map(bulk.values, appended))
        await _remove(connection, t.outbox, [(number,) for number in writes.removed_events])
        await _remove(connection, t.lines, [tuple(line) for line in writes.idle_lines])
        return used

    def committed(self, used: Mapping[Line, datetime]) -> None:
        """Note that lines are there for good."""
        self._known_lines.update(used)

    def _fresh_lines(self, tasks: Iterable[Written[str, TaskRecord]]) -> dict[Line, datetime]:
        """Return the lines that tasks came to stand in and that are not known or worn."""
        used: dict[Line, datetime] = {}
        for _, _, task, _ in tasks:
            if task is None or task.state is not TaskState.READY:
                continue
            line = Line(task.requirement, task.urgency)
            known = self._known_lines.get(line)
            if known is None or task.update_time - known > LINE_FRESHNESS:
                used[line] = max(task.update_time, used.get(line, task.update_time))
        return used


async def _write_terms(
    connection: AsyncConnection, jobs: Sequence[Written[str, JobRecord]]
) -> None:
    stale: list[str] = []
    rows: list[tuple[str, str, str]] = []
    for key, old, job, is_new in jobs:
        if job is None or (old is not None and old.labels == job.labels):
            continue
        if not is_new:
            stale.append(key)
        found = sorted(terms_of(job.labels, job.source_file_name))
        rows += [(job.tenant, term, key) for term in found]
    if stale:
        gone = sa.delete(t.job_terms).where(t.job_terms.c.job_id == sa.bindparam("gone"))
        await connection.execute(gone, [{"gone": key} for key in stale])
    await bulk_table(connection.dialect, t.job_terms).insert.run(connection, rows)


async def _write(
    connection: AsyncConnection, table: sa.Table, written: Sequence[Written[Any, Any]]
) -> None:
    if not written:
        return
    bulk = bulk_table(connection.dialect, table)
    await bulk.insert.run(connection, [bulk.values(row.new) for row in written if row.is_new])
    for names, rows in _changed(bulk, written).items():
        await bulk.update(names).run(connection, rows)
    await _remove(connection, table, [_key(row.key) for row in written if row.new is None])


def _changed(bulk: BulkTable, written: Sequence[Written[Any, Any]]) -> _Changes:
    """Group the rows to update by which columns changed: one statement for each group."""
    groups: _Changes = defaultdict(list)
    for key, old, new, is_new in written:
        if new is None or is_new:
            continue
        values = bulk.values(new)
        before = repeat(_UNKNOWN) if old is None else bulk.values(old)
        changed = [
            (name, value)
            for name, value, was in zip(bulk.names, values, before, strict=False)
            if value is not was and value != was
        ]
        if changed:
            names = tuple(name for name, _ in changed)
            groups[names].append((*(value for _, value in changed), *_key(key)))
    return dict(sorted(groups.items()))


async def _replace(
    connection: AsyncConnection, table: sa.Table, written: Sequence[Written[Any, Any]]
) -> None:
    present = [values_of(row.new) for row in written if row.new is not None]
    if present:
        await connection.execute(upsert(connection.dialect.name, table), present)
    await _remove(connection, table, [_key(row.key) for row in written if row.new is None])


async def _remove(
    connection: AsyncConnection, table: sa.Table, keys: Sequence[tuple[Any, ...]]
) -> None:
    if keys:
        await bulk_table(connection.dialect, table).delete.run(connection, keys)


def _key(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)
