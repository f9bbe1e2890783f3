"""PostgreSQL's own side of the SQL store: how to connect, and what its errors mean."""

from dataclasses import dataclass, replace

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from distconv.core.errors import (
    AlreadyExistsError,
    DiskFullError,
    DistconvError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from distconv.dispatch.store import migrate
from distconv.dispatch.store.failures import (
    ConflictError,
    ConnectionLostError,
    UnclearCommitError,
)

# Any number, the same in every process: who holds this lock alters the tables.
_MIGRATION_LOCK = 74_002_002

# SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONFLICTS = frozenset({"40001", "40P01", "55P03"})  # serialization, deadlock, lock timeout
_DISK_FULL = "53100"
_FOREIGN_KEY = "23503"
_TIMED_OUT = "57014"
# The server goes away or is not there yet; the class 08 is of connections.
_GONE = frozenset({"57P01", "57P02", "57P03", "57P05"})

# How long a migration may take, and wait for the one of another process, seconds: a bound for
# what has gone wrong, since a million rows are altered within minutes.
_LONG_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresqlOptions:
    """How to use a server; times in seconds.

    `pool_size` connections are kept at most; who wants one more waits for
    `checkout_timeout_s`. Whoever reads is told after `answer_timeout_s` that the
    server does not answer. A statement is given up after `statement_timeout_s`,
    a lock that another transaction holds is waited for during `lock_timeout_s`:
    many changes wait with the one that meets it, until it is known which one that is.
    The server ends a transaction of which nothing was heard for `idle_timeout_s`, well
    within a lease: its process stands still, or forgot it, and must not keep its locks.
    """

    pool_size: int = 8
    connect_timeout_s: float = 2.0
    checkout_timeout_s: float = 2.0
    answer_timeout_s: float = 2.5
    statement_timeout_s: float = 10.0
    lock_timeout_s: float = 0.5
    idle_timeout_s: float = 10.0


def make_engine(url: str, options: PostgresqlOptions) -> tuple[AsyncEngine, "PostgresqlFailures"]:
    """Return an engine for the database at `url`; connects to nothing yet.

    Raises InvalidArgumentError.
    """
    parsed = _parse(url)
    engine = create_async_engine(
        parsed,
        pool_size=options.pool_size,
        max_overflow=0,
        pool_timeout=options.checkout_timeout_s,
        connect_args={
            "timeout": options.connect_timeout_s,
            # The server's own timeout comes first; this one is for a server that fell silent.
            "command_timeout": options.statement_timeout_s + 1,
            # The whole working set of statements; the default of 100 is less.
            "prepared_statement_cache_size": 500,
            "server_settings": {
                "application_name": "distconv-dispatch",
                "statement_timeout": str(int(options.statement_timeout_s * 1000)),
                "lock_timeout": str(int(options.lock_timeout_s * 1000)),
                "idle_in_transaction_session_timeout": str(int(options.idle_timeout_s * 1000)),
                # Compiling costs more than these statements take, and so does a second process.
                "jit": "off",
                "max_parallel_workers_per_gather": "0",
                # Every statement has its index. A plan that was made while a table was small
                # must not scan it when it is large; nor must a list along a rare label read
                # every job of a tenant on the way, as a join of two sorted or hashed wholes does.
                "enable_seqscan": "off",
                "enable_mergejoin": "off",
                "enable_hashjoin": "off",
                "timezone": "UTC",
            },
        },
    )
    return engine, PostgresqlFailures(_name(parsed))


def migration_options(options: PostgresqlOptions) -> PostgresqlOptions:
    """Return how to connect for altering tables: that takes as long as it takes."""
    return replace(
        options,
        pool_size=1,
        statement_timeout_s=_LONG_S,
        lock_timeout_s=_LONG_S,
        idle_timeout_s=_LONG_S,
    )


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        # Not quoted: it may hold a password.
        raise InvalidArgumentError(
            "the database URL is not one; write postgresql://user:password@host:port/database",
            field="database_url",
        ) from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise InvalidArgumentError(
            f"'{parsed.get_backend_name()}' is not a database that is known here; "
            "write postgresql://user:password@host:port/database",
            field="database_url",
        )
    return parsed.set(drivername="postgresql+asyncpg")


def _name(url: sa.URL) -> str:
    host = url.host or str(url.query.get("host", "localhost"))
    return (
        f"PostgreSQL database '{url.database or url.username or ''}' at {host}:{url.port or 5432}"
    )


def upgrade(connection: sa.Connection, name: str) -> None:
    """Bring the tables up to date; of several processes one does it and the others wait."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    migrate.upgrade(connection, name=name)


class PostgresqlFailures:
    """What PostgreSQL's errors mean."""

    kinds: tuple[type[Exception], ...] = (
        DBAPIError,
        PoolTimeoutError,
        # What connecting raises comes as it is.
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        OSError,
        TimeoutError,
    )

    def __init__(self, name: str) -> None:
        """`name` is what messages call the database; it holds no password."""
        self.name = name

    def explain(self, error: Exception, *, committing: bool = False) -> Exception:
        """Make the error to raise."""
        if isinstance(error, PoolTimeoutError):
            return UnavailableError(
                f"all connections to the {self.name} are busy; try again in a moment"
            )
        code = str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")
        if committing and not code:
            return self._lost(committing=True)  # no word of the server says what became of it
        if not isinstance(error, DBAPIError):
            return self._away(error)
        if isinstance(error, IntegrityError):
            return self._refused(code)
        if error.connection_invalidated or code in _GONE or code.startswith("08"):
            return self._lost(committing=committing)
        return self._failed(error.orig or error, code)

    def _failed(self, cause: BaseException, code: str) -> DistconvError:
        if code in _CONFLICTS or "InvalidCachedStatement" in type(cause).__name__:
            return ConflictError(
                f"another change stood in the way in the {self.name}; try again in a moment"
            )
        if code == _DISK_FULL:
            return DiskFullError(f"no room left for the {self.name}; free some and try again")
        if code == _TIMED_OUT or isinstance(cause, TimeoutError):
            return UnavailableError(
                f"the {self.name} did not answer in time; try again in a moment"
            )
        return UnavailableError(f"the {self.name} did not take a change ({_first_line(cause)})")

    def _away(self, error: Exception) -> UnavailableError:
        why = "no answer in time" if isinstance(error, TimeoutError) else _first_line(error)
        return UnavailableError(
            f"the {self.name} cannot be reached ({why}); nothing was changed. Check that the "
            "server runs and that the address and the password are right"
        )

    def _lost(self, *, committing: bool) -> UnavailableError:
        if committing:
            return UnclearCommitError(
                f"the {self.name} did not answer a commit: the change may or may not have been "
                "made; look, or repeat it with the same request id"
            )
        return ConnectionLostError(
            f"the connection to the {self.name} broke; nothing was changed, try again in a moment"
        )

    def _refused(self, code: str) -> Exception:
        if code == _FOREIGN_KEY:
            return NotFoundError(f"what a record belongs to is gone from the {self.name}")
        return AlreadyExistsError(f"a record of that id stands in the {self.name} already")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
