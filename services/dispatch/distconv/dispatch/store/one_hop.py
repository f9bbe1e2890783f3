"""aiosqlite with one hop to its thread per statement instead of four.

Waking a thread costs more than an indexed statement does. SQLAlchemy's adapter
opens a cursor, executes, fetches and closes, each with a hop of its own; here
the cursor does all of it at once and answers the rest from what it fetched.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import aiosqlite

_Answer = tuple[Any, int, int | None, list[Any] | None]


class OneHopCursor:
    """Run statements for SQLAlchemy's adapter of asynchronous drivers."""

    arraysize = 1

    def __init__(self, connection: "OneHopConnection") -> None:
        self._connection = connection
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self._rows: list[Any] = []

    async def __aenter__(self) -> Self:
        """Return itself: nothing is opened yet."""
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Self:
        """Execute a statement and fetch all that it answers."""
        self._take(await self._connection.run(statement, parameters, many=False))
        return self

    async def executemany(self, statement: str, parameters: Sequence[Any]) -> Self:
        """Execute a statement once per set of parameters."""
        self._take(await self._connection.run(statement, parameters, many=True))
        return self

    def _take(self, answer: _Answer) -> None:
        self.description, self.rowcount, self.lastrowid, rows = answer
        self._rows = rows or []

    async def fetchall(self) -> list[Any]:
        """Return the rows."""
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """Do nothing: all was fetched, so nothing is open."""


class OneHopConnection(aiosqlite.Connection):
    """A connection whose cursors need one hop."""

    def __init__(self, path: Path, *, busy_timeout_s: float) -> None:
        def connect() -> sqlite3.Connection:
            return sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None)

        super().__init__(connect, iter_chunk_size=64)
        # A process that ends in haste must not wait for a database thread.
        self._thread.daemon = True

    def cursor(self) -> Any:
        """Return a cursor."""
        return OneHopCursor(self)

    async def run(self, statement: str, parameters: Sequence[Any], *, many: bool) -> _Answer:
        """Execute a statement on the connection's thread; return all that it answers."""
        answer: _Answer = await self._execute(  # type: ignore[no-untyped-call]
            self._run, statement, parameters, many
        )
        return answer

    def _run(self, statement: str, parameters: Sequence[Any], many: bool) -> _Answer:  # noqa: FBT001  # called by position alone
        execute = self._conn.executemany if many else self._conn.execute
        cursor = execute(statement, parameters)
        rows = cursor.fetchall() if cursor.description else None
        return cursor.description, cursor.rowcount, cursor.lastrowid, rows

    async def run_script(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
        """Execute statements on the connection's thread in one go."""
        await self._execute(self._run_script, statements)  # type: ignore[no-untyped-call]

    def _run_script(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
        for text, parameters in statements:
            self._conn.execute(text, parameters)

    async def rollback(self) -> None:
        """Undo a transaction; without one there is nothing to hop for."""
        if self.in_transaction:
            await super().rollback()
