"""Bring a database to this version's tables."""

from collections.abc import Callable

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from distconv.core.errors import FailedPreconditionError

# What brings the tables of a connection up to date.
Upgrade = Callable[[Connection], None]

_LOCATION = "distconv.dispatch.store:migrations"


def config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, for `connection`."""
    made = Config()
    made.set_main_option("script_location", _LOCATION)
    made.set_main_option("path_separator", "os")
    made.attributes["connection"] = connection
    return made


def upgrade(connection: Connection, *, name: str, revision: str = "head") -> None:
    """Upgrade; a database that is current is left alone.

    Raises FailedPreconditionError when a newer version wrote the database;
    `name` is what the message calls it.
    """
    settings = config(connection)
    script = ScriptDirectory.from_config(settings)
    present = MigrationContext.configure(connection).get_current_revision()
    if present is not None and present == script.get_current_head() and revision == "head":
        return
    known = {step.revision for step in script.walk_revisions()}
    if present is not None and present not in known:
        raise FailedPreconditionError(
            f"the database {name} was written by a newer version of distconv (schema {present}); "
            "upgrade distconv, or start with another --data-dir"
        )
    command.upgrade(settings, revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Take the steps after `revision` back; "base" takes back all."""
    command.downgrade(config(connection), revision)
