"""What a database's errors mean, in words that say what to do."""

from pathlib import Path

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from distconv.core.errors import AlreadyExistsError, UnavailableError
from distconv.dispatch.store import sqlite


def wrapped(error: DBAPIError, name: str) -> Exception:
    """Make the error to raise for one of the database `name`."""
    if isinstance(error, IntegrityError):
        return AlreadyExistsError(f"a record of that id stands in {name} already")
    if isinstance(error, OperationalError):
        return sqlite.unusable(Path(name), error.orig or error)
    return UnavailableError(f"the database {name} did not take a change: {error.orig}")
