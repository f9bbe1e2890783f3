"""The store on a SQL database, through SQLAlchemy: SQLite or PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncTransaction

from distconv.dispatch.store import integrity, migrate, postgresql, sqlite
from distconv.dispatch.store import tables as t
from distconv.dispatch.store.dialects import insert_new
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.postgresql import PostgresqlOptions
from distconv.dispatch.store.sql_engines import SqlEngineReads
from distconv.dispatch.store.sql_jobs import SqlJobReads
from distconv.dispatch.store.sql_queue import SqlQueueReads
from distconv.dispatch.store.sql_reader import Failures
from distconv.dispatch.store.sql_replicas import SqlReplicas
from distconv.dispatch.store.sql_rows import SqlRows
from distconv.dispatch.store.sql_tasks import SqlTaskReads
from distconv.dispatch.store.sql_writer import SqlWriter
from distconv.dispatch.store.unit import Unit
from distconv.dispatch.store.whole import whole, whole_context


class SqlStore(SqlJobReads, SqlTaskReads, SqlQueueReads, SqlEngineReads, SqlReplicas):
    """Keep everything in a SQL database. Make one with `open_sqlite` or `open_postgresql`."""

    def __init__(
        self,
        *,
        reading: AsyncEngine,
        writing: AsyncEngine,
        failures: Failures,
        one_writer: bool,
        answer_timeout_s: float | None = None,
    ) -> None:
        """Take engines whose tables are current; `one_writer` queues writers here.

        Reads are given up after `answer_timeout_s`; None: never.
        """
        super().__init__(
            reading=reading,
            writing=writing,
            failures=failures,
            one_writer=one_writer,
            answer_timeout_s=answer_timeout_s,
        )
        self._writer = SqlWriter()
        self._duties: set[str] = set()

    @classmethod
    async def open_sqlite(cls, path: Path, *, new: bool = False) -> Self:
        """Open the database at `path` and bring it up to date.

        One is made where there never was one, or with `new` in the place of one that
        is gone. Raises DataLossError (damaged, or gone), UnavailableError (locked, unreadable) or
        FailedPreconditionError (written by a newer version).
        """
        await asyncio.to_thread(integrity.check, path, new=new)
        engine = sqlite.make_engine(path)
        store = cls(
            reading=engine,
            writing=engine.execution_options(**{sqlite.WRITES: True}),
            failures=sqlite.SqliteFailures(path),
            one_writer=True,
        )
        await store._prepare(
            store._writing, lambda connection: migrate.upgrade(connection, name=str(path))
        )
        return store

    @classmethod
    async def open_postgresql(cls, url: str, options: PostgresqlOptions | None = None) -> Self:
        """Connect to a PostgreSQL database and bring its tables up to date.

        Any number of processes may do so at once. Raises InvalidArgumentError (no
        such URL), UnavailableError (no connection) or FailedPreconditionError
        (written by a newer version).
        """
        options = options or PostgresqlOptions()
        engine, failures = postgresql.make_engine(url, options)
        patient, _ = postgresql.make_engine(url, postgresql.migration_options(options))
        store = cls(
            reading=engine.execution_options(isolation_level="AUTOCOMMIT"),
            writing=engine,
            failures=failures,
            one_writer=False,
            answer_timeout_s=options.answer_timeout_s,
        )
        try:
            await store._prepare(
                patient, lambda connection: postgresql.upgrade(connection, failures.name)
            )
        finally:
            await patient.dispose()
        return store

    async def _prepare(self, engine: AsyncEngine, upgrade: migrate.Upgrade) -> None:
        try:
            async with engine.begin() as connection:
                await connection.run_sync(upgrade)
        except self._failures.kinds as error:
            await self.close()
            raise self._failures.explain(error) from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self, keys: Keys | None = None) -> AsyncIterator[Unit]:
        """Begin a change."""
        committing = False
        try:
            async with self._turn, whole_context(self._writing.connect()) as connection:
                transaction = await whole(_begun(connection))
                rows = SqlRows(connection, self._writer)
                unit = Unit(rows)
                await unit.prefetch(keys or Keys())
                yield unit
                unit.keep()
                await whole(rows.write(unit.writes()))
                committing = True
                await whole(transaction.commit())
                self._writer.committed(rows.line_times)
        except self._failures.kinds as error:
            raise self._failures.explain(error, committing=committing) from error

    @asynccontextmanager
    async def duty(self, name: str) -> AsyncIterator[bool]:
        """Hold a duty while the block lasts, by the lock of its row."""
        if name in self._duties:  # held by this very process
            yield False
            return
        self._duties.add(name)
        try:
            if self._one_writer:
                yield True  # one process has the database to itself
            else:
                async with self._duty_row(name) as held:
                    yield held
        finally:
            self._duties.discard(name)

    @asynccontextmanager
    async def _duty_row(self, name: str) -> AsyncIterator[bool]:
        of = t.duties.c.name
        try:
            async with whole_context(self._writing.connect()) as connection:
                new = insert_new(connection.dialect.name, t.duties)
                await whole(connection.execute(new, [{"name": name}]))
                await whole(connection.commit())
                locked = sa.select(of).where(of == name).with_for_update(skip_locked=True)
                yield (await whole(connection.execute(locked))).first() is not None
        except self._failures.kinds as error:
            raise self._failures.explain(error) from error


async def _begun(connection: AsyncConnection) -> AsyncTransaction:
    return await connection.begin()
