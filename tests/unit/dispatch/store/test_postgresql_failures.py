"""What is said of PostgreSQL's errors, of a commit above all."""

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from distconv.core.errors import UnavailableError
from distconv.dispatch.store.failures import ConflictError, ConnectionLostError, UnclearCommitError
from distconv.dispatch.store.postgresql import PostgresqlFailures

FAILURES = PostgresqlFailures("PostgreSQL database 'films'")


def told(code: str) -> DBAPIError:
    """Return what is raised where the server answered with an error."""
    cause = Exception("no")
    cause.sqlstate = code  # type: ignore[attr-defined]
    return DBAPIError("COMMIT", (), cause)


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionResetError("Connection reset by peer"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("odd"),
        DBAPIError("COMMIT", (), Exception("connection is closed")),
        DBAPIError("COMMIT", (), Exception("gone"), connection_invalidated=True),
        told("57P01"),
        told("08006"),
    ],
)
def test_a_commit_without_an_answer_may_have_been_made(error: Exception) -> None:
    explained = FAILURES.explain(error, committing=True)
    assert isinstance(explained, UnclearCommitError)
    assert "may or may not have been made" in str(explained)
    before = FAILURES.explain(error)
    assert isinstance(before, UnavailableError)
    assert not isinstance(before, UnclearCommitError)


@pytest.mark.parametrize("code", ["40001", "40P01", "55P03"])
def test_a_commit_that_was_refused_for_another_may_be_tried_again(code: str) -> None:
    assert isinstance(FAILURES.explain(told(code), committing=True), ConflictError)


def test_a_connection_that_broke_before_the_commit_changed_nothing() -> None:
    assert isinstance(FAILURES.explain(told("57P01")), ConnectionLostError)
