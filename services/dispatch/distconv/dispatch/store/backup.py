"""Backups of the SQLite database: made while it is in use, checked, found again, put back.

Nothing here deletes a database: what is replaced is moved aside.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from distconv.core.errors import (
    AlreadyExistsError,
    DataLossError,
    DiskFullError,
    NotFoundError,
    UnavailableError,
)
from distconv.dispatch.store import sqlite, tables

FOLDER = "backups"
_NAME = "dispatch-%Y%m%dT%H%M%SZ.db"
# What a process that runs puts down of itself is worth no backup.
_KEPT = [t for t in tables.metadata.sorted_tables if t not in (tables.replicas, tables.duties)]
# What SQLite keeps beside a database: the log of changes not yet in it, and that log's index.
_BESIDE = ("-wal", "-shm")


def folder_of(database: Path) -> Path:
    """Return where the backups of a database lie."""
    return database.parent / FOLDER


def name_at(time: datetime) -> str:
    """Return the name of the backup made at `time`; names sort by time."""
    return time.astimezone(UTC).strftime(_NAME)


def time_of(backup: Path) -> datetime | None:
    """Return when a backup was made, by its name; None when it is not one of ours."""
    try:
        return datetime.strptime(backup.name, _NAME).replace(tzinfo=UTC)
    except ValueError:
        return None


def backups_of(database: Path) -> list[Path]:
    """Return the scheduled backups of a database, the newest first."""
    found = [path for path in folder_of(database).glob("*.db") if time_of(path) is not None]
    return sorted(found, key=lambda path: path.name, reverse=True)


def newest_good(database: Path) -> Path | None:
    """Return the newest backup that is sound; reads the ones that it tries whole."""
    return next((path for path in backups_of(database) if _is_good(path)), None)


def _is_good(path: Path) -> bool:
    try:
        return sqlite.damage(path) is None
    except (UnavailableError, DiskFullError):
        return False


def is_empty(database: Path) -> bool:
    """Tell whether there is nothing in a database that a backup would keep.

    Raises UnavailableError or DiskFullError when it cannot be read.
    """
    try:
        with closing(sqlite.connect(database)) as connection:
            return not any(_has_rows(connection, table) for table in _KEPT)
    except sqlite3.Error as error:
        raise sqlite.unusable(database, error) from error


def _has_rows(connection: sqlite3.Connection, table: sa.Table) -> bool:
    return connection.execute(str(sa.select(table))).fetchone() is not None


def make(database: Path, target: Path) -> int:
    """Write a copy of the database as it is at this moment to `target`; return its bytes.

    The database may be in use. The copy is one file, checked and on the disk
    before it takes its name. Raises NotFoundError, AlreadyExistsError (the target
    is there), DataLossError (the copy is not sound), UnavailableError or
    DiskFullError.
    """
    if not database.exists():
        raise NotFoundError(f"there is no database {database}; check --data-dir")
    if target.exists():
        raise AlreadyExistsError(f"{target} is there already; choose another name")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _copy(database, target)
    except OSError as error:
        raise UnavailableError(
            f"the backup {target} cannot be written ({error.strerror}); choose another place"
        ) from error


def _copy(database: Path, target: Path) -> int:
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    sqlite.make_private(partial)
    try:
        with closing(sqlite.connect(database)) as source, closing(sqlite.connect(partial)) as copy:
            # All pages in one step: a snapshot that writers neither wait for nor disturb.
            source.backup(copy)
            # One file that needs no other beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
        if (problem := sqlite.damage(partial)) is not None:
            raise DataLossError(
                f"the copy of {database} is damaged ({problem}): the database itself is, or its "
                "disk; restart distconv-dispatch, which checks it"
            )
        _sync(partial)
        partial.rename(target)
        _sync(target.parent)
    except sqlite3.Error as error:
        failure = sqlite.unusable(database, error)
        if isinstance(failure, DiskFullError):  # a backup writes to its target alone
            failure = DiskFullError(
                f"no room left for the backup {target}; free some, or choose another place"
            )
        raise failure from error
    finally:
        partial.unlink(missing_ok=True)
    return target.stat().st_size


def prune(database: Path, *, keep: int) -> list[Path]:
    """Delete all scheduled backups but the newest `keep`; return those deleted.

    The newest sound one always stays.
    """
    kept = backups_of(database)[:keep]
    old = backups_of(database)[keep:]
    if not any(map(_is_good, kept)):
        sound = next((path for path in old if _is_good(path)), None)
        old = [path for path in old if path != sound]
    for path in old:
        path.unlink(missing_ok=True)
    return old


def restore(backup: Path, database: Path, *, now: datetime) -> list[Path]:
    """Put a backup in the place of the database; return what was moved aside, and where to.

    No process may use the database. Raises NotFoundError, DataLossError (the
    backup is damaged; nothing was touched), UnavailableError or DiskFullError.
    """
    if not backup.exists():
        raise NotFoundError(f"there is no backup {backup}")
    if (problem := sqlite.damage(backup)) is not None:
        raise DataLossError(
            f"the backup {backup} is damaged ({problem}); nothing was changed, take another one"
        )
    fresh = database.with_name(f".{database.name}.restored")
    fresh.unlink(missing_ok=True)
    make(backup, fresh)
    moved = move_aside(database, now=now, why="replaced")
    fresh.rename(database)
    _sync(database.parent)
    return moved


def move_aside(database: Path, *, now: datetime, why: str) -> list[Path]:
    """Rename a database and what lies beside it; return the new names."""
    mark = now.astimezone(UTC).strftime(f"{why}-%Y%m%dT%H%M%SZ")
    moved = []
    for path in leftovers(database):
        aside = path.with_name(f"{path.name}.{mark}")
        path.rename(aside)
        moved.append(aside)
    return moved


def leftovers(database: Path) -> Iterator[Path]:
    """Yield the files of a database that are there."""
    for end in ("", *_BESIDE):
        path = database.with_name(database.name + end)
        if path.exists():
            yield path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
