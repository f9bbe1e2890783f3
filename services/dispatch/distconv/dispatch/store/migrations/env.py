"""Run migrations on the connection that `migrate` hands over, or on a URL from the command line."""

from alembic import context
from sqlalchemy import Connection, create_engine

from distconv.dispatch.store.tables import metadata


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        # SQLite alters a table by making it anew.
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    url = context.config.get_main_option("sqlalchemy.url")
    with create_engine(url or "sqlite://").begin() as own:
        _run(own)
