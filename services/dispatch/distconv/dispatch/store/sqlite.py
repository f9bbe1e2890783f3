"""SQLite's own side of the SQL store: how to open a database, and how to tell that it is sound."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from distconv.core.errors import (
    AlreadyExistsError,
    DiskFullError,
    NotFoundError,
    UnavailableError,
)
from distconv.dispatch.store.one_hop import OneHopConnection

# How long a writer waits for another process's transaction, seconds: a backup or a person's shell.
BUSY_TIMEOUT_S = 5.0
# The execution option that makes a transaction take the write lock when it begins.
WRITES = "distconv_writes"

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    # In WAL a commit without fsync cannot tear the database, and survives a killed process. A
    # power cut may undo the last commits: engines then resend results that were acknowledged
    # late, and clients repeat calls by request id. It is worth some 5 ms on every commit.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
    f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}",
    "PRAGMA temp_store = MEMORY",
    # The indexes of some hundred thousand jobs, KiB: a page that is not kept is read and
    # written anew for every few rows of a batch. Each connection has its own, and fills it
    # only as far as it needs.
    f"PRAGMA cache_size = -{64 * 1024}",
)


def make_private(path: Path) -> None:
    """Make an empty file for a database that is not there, for its owner alone.

    SQLite gives what it keeps beside a database the mode of the database, and
    would make that readable for everyone. What cannot be made, SQLite says better.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))


def connect(path: Path) -> sqlite3.Connection:
    """Open a database for a short while, outside the store."""
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)


def damage(path: Path) -> str | None:
    """Return what is wrong with a database file, None when it is sound. Changes nothing.

    Raises UnavailableError when another program holds it or it cannot be read.
    """
    try:
        with closing(connect(path)) as connection:
            # quick_check reads every page; what it leaves out is whether indexes match tables.
            problems = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.OperationalError as error:
        raise unusable(path, error) from error
    except sqlite3.DatabaseError as error:
        return str(error)
    if problems == ["ok"]:
        return None
    lines = [line for problem in problems for line in problem.splitlines()]
    return "; ".join(line for line in lines if not line.startswith("***")) or "; ".join(lines)


def unusable(path: Path, error: Exception) -> UnavailableError | DiskFullError:
    """Make the error for a database that cannot be used just now."""
    text = str(error)
    if "locked" in text or "busy" in text:
        return UnavailableError(
            f"the database {path} is locked by another program; end that program and try again",
            metadata={"path": str(path)},
        )
    if "full" in text:
        return DiskFullError(f"no room left for the database {path}; free some and try again")
    return UnavailableError(
        f"the database {path} cannot be opened ({text}); check that the folder is there and may "
        "be written",
        metadata={"path": str(path)},
    )


class SqliteFailures:
    """What SQLite's errors mean."""

    kinds: tuple[type[Exception], ...] = (DBAPIError, sqlite3.Error)

    def __init__(self, path: Path) -> None:
        self._path = path

    def explain(
        self,
        error: Exception,
        *,
        committing: bool = False,  # noqa: ARG002  # a failed commit did nothing
    ) -> Exception:
        """Make the error to raise."""
        cause = getattr(error, "orig", None) or error
        if isinstance(cause, sqlite3.IntegrityError):
            if "FOREIGN KEY" in str(cause):
                return NotFoundError(f"what a record belongs to is gone from {self._path}")
            return AlreadyExistsError(f"a record of that id stands in {self._path} already")
        if isinstance(cause, sqlite3.OperationalError):
            return unusable(self._path, cause)
        return UnavailableError(f"the database {self._path} did not take a change: {cause}")


def make_engine(path: Path) -> AsyncEngine:
    """Return an engine for the database at `path`, which is made when it is not there."""

    def connection() -> OneHopConnection:
        make_private(path)
        return OneHopConnection(path, busy_timeout_s=BUSY_TIMEOUT_S)

    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        async_creator=connection,
        # Transactions are ended where they are begun; a returned connection has none.
        pool_reset_on_return=None,
    )
    event.listen(engine.sync_engine, "connect", _set_up)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _set_up(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    # A read is one statement, consistent by itself: it needs no transaction around it.
    if connection.get_execution_options().get(WRITES, False):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
