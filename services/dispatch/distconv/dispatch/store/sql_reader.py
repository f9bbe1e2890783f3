"""Reading a SQL database: connections, rows as records, and errors that say what to do."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from distconv.dispatch.store.failures import ConnectionLostError
from distconv.dispatch.store.in_time import in_time
from distconv.dispatch.store.statements import fetch_all, fetch_one
from distconv.dispatch.store.whole import whole, whole_context

_R = TypeVar("_R")


class Failures(Protocol):
    """What the errors of one database mean."""

    # What its driver and its pool raise.
    kinds: tuple[type[Exception], ...]

    def explain(self, error: Exception, *, committing: bool = False) -> Exception:
        """Make the error to raise for one of `kinds`, in words that say what to do."""
        ...


class SqlReader:
    """Run queries, each on a connection of its own for as long as it takes."""

    def __init__(
        self, engine: AsyncEngine, failures: Failures, *, answer_timeout_s: float | None = None
    ) -> None:
        """Give a read up after `answer_timeout_s`; None: never."""
        self._engine = engine
        self._failures = failures
        self._answer_timeout_s = answer_timeout_s

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with whole_context(self._engine.connect()) as connection:
                yield connection
        except self._failures.kinds as error:
            raise self._failures.explain(error) from error

    async def _read(self, of: Callable[[AsyncConnection], Awaitable[_R]]) -> _R:
        """Run a query, and say so when the database does not answer in time."""
        if self._answer_timeout_s is None:
            return await self._tried(of)
        try:
            return await in_time(self._tried(of), self._answer_timeout_s)
        except TimeoutError as error:
            raise self._failures.explain(error) from error

    async def _tried(self, of: Callable[[AsyncConnection], Awaitable[_R]]) -> _R:
        """Run a query; once more when the connection was found broken, on a fresh one."""
        try:
            async with self._reading() as connection:
                return await of(connection)
        except ConnectionLostError:
            async with self._reading() as connection:
                return await of(connection)

    async def _read_all(self, query: sa.Executable, kind: type[_R]) -> list[_R]:
        return await self._read(lambda connection: fetch_all(connection, query, kind))

    async def _read_one(self, query: sa.Executable, kind: type[_R]) -> _R | None:
        return await self._read(lambda connection: fetch_one(connection, query, kind))

    async def _read_rows(self, query: sa.Executable) -> list[Any]:
        async def rows(connection: AsyncConnection) -> list[Any]:
            return list(await whole(connection.execute(query)))

        return await self._read(rows)

    async def _scalar(self, query: sa.Executable) -> Any:
        rows = await self._read_rows(query)
        return rows[0][0] if rows else None

    async def _earliest(
        self, column: sa.Column[Any], *where: sa.ColumnElement[bool]
    ) -> datetime | None:
        found: datetime | None = await self._scalar(
            sa.select(column).where(column.is_not(None), *where).order_by(column).limit(1)
        )
        return found
