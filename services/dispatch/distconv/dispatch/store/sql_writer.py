"""Write what a unit of work wrote: few statements, each for many rows, in a fixed order.

The order of tables and keys is the same in every process, so that two of them
never wait for one another in a ring.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import repeat
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from distconv.dispatch.store import tables as t
from distconv.dispatch.store.bulk import BulkTable, Copy, Statement, bulk_table, execute
from distconv.dispatch.store.line_times import LineBook, LineTimes, rows
from distconv.dispatch.store.records import JobRecord
from distconv.dispatch.store.rows import Writes
from distconv.dispatch.store.shelf import Written
from distconv.dispatch.store.terms import terms_of

_Changes = dict[tuple[str, ...], list[tuple[Any, ...]]]
# What no value is equal to.
_UNKNOWN = object()


class SqlWriter:
    """Write to one database, and remember which lines it has."""

    def __init__(self) -> None:
        self._book = LineBook()

    async def write(self, connection: AsyncConnection, writes: Writes) -> LineTimes:
        """Write everything; return the lines to be told of to `committed`."""
        of = partial(bulk_table, connection.dialect)
        times = self._book.worn(writes.tasks)
        used, lines = rows(times.used), of(t.lines)
        script = [
            *lines.insert_new.statements((*key, time, None) for time, *key in used),
            *lines.update(("use_time",)).statements(used),
            *lines.update(("claim_time",)).statements(rows(times.claimed)),
            *_written(of(t.jobs), writes.jobs),
            *_written(of(t.tasks), writes.tasks),
            *_written(of(t.attempts), writes.attempts),
            *_written(of(t.engines), writes.engines),
            *_written(of(t.accounts), writes.accounts),
            *_written(of(t.requests), writes.requests),
            *_replaced(of(t.speeds), writes.speeds),
            *_replaced(of(t.garbage), writes.garbage),
            *_terms(of(t.job_terms), writes.jobs),
            *_appended(of(t.transitions), writes.transitions),
            *_appended(of(t.outbox), writes.events),
            *_appended(of(t.benchmarks), writes.benchmarks),
            *of(t.outbox).delete.statements((number,) for number in writes.removed_events),
            *of(t.lines).delete.statements(writes.idle_lines),
        ]
        await execute(connection, script)
        return times

    def committed(self, times: LineTimes) -> None:
        """Note that lines are there for good."""
        self._book.committed(times)


def _written(bulk: BulkTable, written: Sequence[Written[Any, Any]]) -> list[Statement | Copy]:
    if not written:
        return []
    return [
        *bulk.inserts(bulk.values(row.new) for row in written if row.is_new),
        *(
            statement
            for names, rows in _changed(bulk, written).items()
            for statement in bulk.update(names).statements(rows)
        ),
        *_removed(bulk, written),
    ]


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


def _replaced(bulk: BulkTable, written: Sequence[Written[Any, Any]]) -> list[Statement]:
    present = (bulk.values(row.new) for row in written if row.new is not None)
    return [*bulk.upsert.statements(present), *_removed(bulk, written)]


def _removed(bulk: BulkTable, written: Sequence[Written[Any, Any]]) -> list[Statement]:
    return bulk.delete.statements(_key(row.key) for row in written if row.new is None)


def _appended(bulk: BulkTable, records: Sequence[Any]) -> Sequence[Statement | Copy]:
    return bulk.inserts(map(bulk.values, records))


def _terms(bulk: BulkTable, jobs: Sequence[Written[str, JobRecord]]) -> Sequence[Statement | Copy]:
    stale: list[tuple[str, str, str]] = []
    fresh: list[tuple[str, str, str]] = []
    first: list[tuple[str, str, str]] = []
    for _, old, job, is_new in jobs:
        if job is None or (old is not None and old.labels == job.labels):
            continue
        terms = terms_of(job.labels, job.source_file_name)
        if is_new:
            first += [(job.tenant, term, job.id) for term in sorted(terms)]
            continue
        had = terms_of(old.labels, old.source_file_name) if old is not None else frozenset()
        stale += [(job.tenant, term, job.id) for term in sorted(had - terms)]
        fresh += [(job.tenant, term, job.id) for term in sorted(terms - had)]
    return [
        *bulk.inserts(first),
        *bulk.delete.statements(stale),
        # By upsert: a job that was saved without being read has some of them.
        *bulk.insert_new.statements(fresh),
    ]


def _key(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)
