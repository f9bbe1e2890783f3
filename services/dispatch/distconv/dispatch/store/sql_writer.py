"""Write what a unit of work wrote: few statements, each for many rows, in a fixed order.

The order of tables and keys is the same in every process, so that two of them
never wait for one another in a ring.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from distconv.core.task_states import TaskState
from distconv.dispatch.store import tables as t
from distconv.dispatch.store.queries import Line
from distconv.dispatch.store.records import JobRecord, TaskRecord
from distconv.dispatch.store.rows import Writes
from distconv.dispatch.store.shelf import Written
from distconv.dispatch.store.statements import field_names, upsert, values_of
from distconv.dispatch.store.terms import terms_of

# A line's `use_time` is renewed when it is older. What is younger is not forgotten by any
# replica (`remove_idle_lines` is asked with much longer spans), so it may be taken for known.
LINE_FRESHNESS = timedelta(minutes=10)

_Changes = dict[tuple[str, ...], list[dict[str, Any]]]


class SqlWriter:
    """Write to one database, and remember which lines it has."""

    def __init__(self) -> None:
        self._known_lines: dict[Line, datetime] = {}

    async def write(self, connection: AsyncConnection, writes: Writes) -> Mapping[Line, datetime]:
        """Write everything; return the lines to be told of to `committed`."""
        run = connection.execute
        dialect = connection.dialect.name
        used = self._fresh_lines(writes.tasks)
        if used:
            rows = [
                {"requirement": line.requirement, "urgency": line.urgency, "use_time": time}
                for line, time in sorted(used.items())
            ]
            await run(upsert(dialect, t.lines), rows)
        for table, written in (
            (t.jobs, writes.jobs),
            (t.tasks, writes.tasks),
            (t.attempts, writes.attempts),
            (t.engines, writes.engines),
            (t.tenants, writes.tenants),
            (t.requests, writes.requests),
        ):
            await _write(connection, table, written)
        await self._write_terms(connection, writes.jobs)
        await _replace(connection, t.speeds, writes.speeds)
        await _replace(connection, t.garbage, writes.garbage)
        for table, appended in (
            (t.transitions, writes.transitions),
            (t.outbox, writes.events),
            (t.benchmarks, writes.benchmarks),
        ):
            if appended:
                await run(_insert(table), [_unnumbered(row) for row in appended])
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
        self, connection: AsyncConnection, jobs: Sequence[Written[str, JobRecord]]
    ) -> None:
        stale, rows = [], []
        for key, old, job, is_new in jobs:
            if job is None or (old is not None and old.labels == job.labels):
                continue
            if not is_new:
                stale.append({"k0": key})
            found = sorted(terms_of(job.labels, job.source_file_name))
            rows += [{"tenant": job.tenant, "term": term, "job_id": key} for term in found]
        if stale:
            gone = sa.delete(t.job_terms).where(t.job_terms.c.job_id == sa.bindparam("k0"))
            await connection.execute(gone, stale)
        if rows:
            await connection.execute(_insert(t.job_terms), rows)


async def _write(
    connection: AsyncConnection, table: sa.Table, written: Sequence[Written[Any, Any]]
) -> None:
    added = [values_of(row.new) for row in written if row.is_new]
    if added:
        await connection.execute(_insert(table), added)
    for columns, rows in _changed(written).items():
        await connection.execute(_update(table, columns), rows)
    await _remove(connection, table, [_key(row.key) for row in written if row.new is None])


def _changed(written: Sequence[Written[Any, Any]]) -> _Changes:
    """Group the rows to update by which columns changed: one statement for each group."""
    groups: _Changes = defaultdict(list)
    for key, old, new, is_new in written:
        if new is None or is_new:
            continue
        names = field_names(type(new))
        changed = tuple(
            name
            for name in names
            if old is None
            or ((was := getattr(old, name)) is not (value := getattr(new, name)) and was != value)
        )
        if changed:
            values = {f"v_{name}": getattr(new, name) for name in changed}
            groups[changed].append(values | {f"k{k}": part for k, part in enumerate(_key(key))})
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
        rows = [{f"k{k}": part for k, part in enumerate(key)} for key in keys]
        await connection.execute(_delete(table), rows)


def _key(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def _unnumbered(row: Any) -> dict[str, Any]:
    values = values_of(row)
    values.pop("number", None)  # the database gives it
    return values


@cache
def _insert(table: sa.Table) -> sa.Insert:
    return sa.insert(table)


@cache
def _update(table: sa.Table, columns: tuple[str, ...]) -> sa.Update:
    return (
        sa.update(table)
        .where(*_is_row(table))
        .values({name: sa.bindparam(f"v_{name}", type_=table.c[name].type) for name in columns})
    )


@cache
def _delete(table: sa.Table) -> sa.Delete:
    return sa.delete(table).where(*_is_row(table))


def _is_row(table: sa.Table) -> list[sa.ColumnElement[bool]]:
    return [
        column == sa.bindparam(f"k{k}", type_=column.type)
        for k, column in enumerate(table.primary_key)
    ]
