"""Reading a SQL database: connections, rows as records, and errors that say what to do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from distconv.dispatch.store.sql_errors import wrapped
from distconv.dispatch.store.statements import fetch_all, fetch_one
from distconv.dispatch.store.whole import whole, whole_context

_R = TypeVar("_R")


class SqlReader:
    """Run queries, each on a connection of its own for as long as it takes."""

    def __init__(self, engine: AsyncEngine, *, name: str) -> None:
        """`name` is what messages call the database."""
        self._engine = engine
        self._name = name

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with whole_context(self._engine.connect()) as connection:
                yield connection
        except DBAPIError as error:
            raise wrapped(error, self._name) from error

    async def _read_all(self, query: sa.Executable, kind: type[_R]) -> list[_R]:
        async with self._reading() as connection:
            return await fetch_all(connection, query, kind)

    async def _read_one(self, query: sa.Executable, kind: type[_R]) -> _R | None:
        async with self._reading() as connection:
            return await fetch_one(connection, query, kind)

    async def _scalar(self, query: sa.Executable) -> Any:
        async with self._reading() as connection:
            return (await whole(connection.execute(query))).scalar()

    async def _earliest(
        self, column: sa.Column[Any], *where: sa.ColumnElement[bool]
    ) -> datetime | None:
        found: datetime | None = await self._scalar(
            sa.select(column).where(column.is_not(None), *where).order_by(column).limit(1)
        )
        return found
