"""The store on a SQL database, through SQLAlchemy: SQLite today; the statements are portable."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Self

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from distconv.dispatch.store import migrate, sqlite
from distconv.dispatch.store import tables as t
from distconv.dispatch.store.queries import Line
from distconv.dispatch.store.sql_engines import SqlEngineReads
from distconv.dispatch.store.sql_errors import wrapped
from distconv.dispatch.store.sql_jobs import SqlJobReads
from distconv.dispatch.store.sql_queue import SqlQueueReads
from distconv.dispatch.store.sql_transaction import SqlTransaction
from distconv.dispatch.store.statements import insert_new
from distconv.dispatch.store.whole import whole, whole_context


class SqlStore(SqlJobReads, SqlQueueReads, SqlEngineReads):
    """Keep everything in a SQL database. Make one with `open_sqlite`."""

    def __init__(self, engine: AsyncEngine, *, name: str, one_writer: bool) -> None:
        """Take an engine whose tables are current; `one_writer` queues writers here."""
        super().__init__(engine, name=name)
        self._writing = engine.execution_options(**{sqlite.WRITES: True})
        self._known_lines: dict[Line, datetime] = {}
        self._duties: set[str] = set()
        # SQLite has one writer at a time: waiting here costs less than its busy handler.
        self._lock = asyncio.Lock() if one_writer else None

    @classmethod
    async def open_sqlite(cls, path: Path) -> Self:
        """Open the database at `path`, made when it is not there, and bring it up to date.

        Raises DataLossError (damaged), UnavailableError (locked, unreadable) or
        FailedPreconditionError (written by a newer version).
        """
        await asyncio.to_thread(sqlite.check, path)
        engine = sqlite.make_engine(path)
        try:
            writing = engine.execution_options(**{sqlite.WRITES: True})
            async with writing.begin() as connection:
                await connection.run_sync(migrate.upgrade, name=str(path))
        except DBAPIError as error:
            await engine.dispose()
            raise sqlite.unusable(path, error.orig or error) from error
        except BaseException:
            await engine.dispose()
            raise
        return cls(engine, name=str(path), one_writer=True)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlTransaction]:
        """Begin a change. Raises UnavailableError when the database does not take it."""
        if self._lock is not None:
            await self._lock.acquire()
        try:
            async with whole_context(self._writing.begin()) as connection:
                transaction = SqlTransaction(connection, self._known_lines)
                yield transaction
            self._known_lines |= transaction.used_lines
        except DBAPIError as error:
            raise wrapped(error, self._name) from error
        finally:
            if self._lock is not None:
                self._lock.release()

    @asynccontextmanager
    async def duty(self, name: str) -> AsyncIterator[bool]:
        """Hold a duty while the block lasts, by the lock of its row."""
        if name in self._duties:  # held by this very process
            yield False
            return
        self._duties.add(name)
        try:
            if self._lock is not None:
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
            async with whole_context(self._engine.begin()) as connection:
                known = sa.select(of).where(of == name)
                if (await whole(connection.execute(known))).first() is None:
                    new = insert_new(connection.dialect.name, t.duties)
                    await whole(connection.execute(new, [{"name": name}]))
                    await whole(connection.commit())
                    await whole(connection.begin())
                locked = known.with_for_update(skip_locked=True)
                yield (await whole(connection.execute(locked))).first() is not None
        except DBAPIError as error:
            raise wrapped(error, self._name) from error
