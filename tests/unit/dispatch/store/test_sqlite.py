"""Opening a database: new, old, newer, damaged, locked; migrations up, down and on a filled one."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.unit.dispatch.store import first_revision

from distconv.core.errors import DataLossError, FailedPreconditionError, UnavailableError
from distconv.dispatch.store import migrate, sqlite
from distconv.dispatch.store.records import OutboxRecord
from distconv.dispatch.store.sql import SqlStore
from distconv.dispatch.store.tables import metadata

NOW = datetime(2030, 1, 1, tzinfo=UTC)
EVENT = OutboxRecord(tenant="local", type="t", subject="s", payload={}, time=NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dispatch.db"


async def _fill(path: Path) -> None:
    store = await SqlStore.open_sqlite(path)
    async with store.transaction() as tx:
        for _ in range(200):
            await tx.add_event(EVENT)
    await store.close()


async def test_what_was_stored_is_there_after_a_restart(path: Path) -> None:
    await _fill(path)
    store = await SqlStore.open_sqlite(path)
    assert len(await store.list_events(limit=1000)) == 200
    await store.close()


async def test_a_connection_is_set_up_for_safety(path: Path) -> None:
    engine = sqlite.make_engine(path)
    async with engine.connect() as connection:
        for pragma, value in (
            ("journal_mode", "wal"),
            ("foreign_keys", 1),
            ("synchronous", 1),
            ("busy_timeout", 5000),
        ):
            row = await connection.exec_driver_sql(f"PRAGMA {pragma}")
            assert row.scalar() == value
    await engine.dispose()


async def test_a_damaged_database_is_named_and_left_alone(path: Path) -> None:
    await _fill(path)
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xde\xad" * 2048
    path.write_bytes(content)
    with pytest.raises(DataLossError, match=r"dispatch\.db is damaged") as caught:
        await SqlStore.open_sqlite(path)
    assert "backup" in caught.value.message
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"this is no database, whatever its name says" * 100])
async def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DataLossError, match="is damaged"):
        await SqlStore.open_sqlite(path)
    assert path.read_bytes() == content


async def test_a_newer_database_is_refused(path: Path) -> None:
    await _fill(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(FailedPreconditionError, match="newer version of distconv"):
        await SqlStore.open_sqlite(path)


async def test_a_locked_database_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await _fill(path)
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.01)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UnavailableError, match="locked by another program"):
            await SqlStore.open_sqlite(path)


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be opened"):
        await SqlStore.open_sqlite(tmp_path / "nowhere" / "dispatch.db")


@pytest.fixture
def plain() -> sa.Engine:
    return sa.create_engine("sqlite://", poolclass=sa.StaticPool)


@pytest.mark.filterwarnings("ignore:autogenerate skipping:UserWarning")
def test_migrations_make_the_tables_that_the_code_knows(plain: sa.Engine) -> None:
    with plain.begin() as connection:
        migrate.upgrade(connection, name="memory")
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []
        indexes = {index["name"] for index in sa.inspect(connection).get_indexes("tasks")}
        assert "ix_tasks_line" in indexes
        migrate.upgrade(connection, name="memory")
    plain.dispose()


def test_migrations_go_down_again_even_filled(plain: sa.Engine) -> None:
    with plain.begin() as connection:
        migrate.upgrade(connection, name="memory")
        connection.execute(
            sa.text(
                "INSERT INTO outbox (tenant, type, subject, payload, time) "
                "VALUES ('local', 't', 's', '{}', '2030-01-01 00:00:00.000000')"
            )
        )
        migrate.downgrade(connection, "base")
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]
        migrate.upgrade(connection, name="memory")
    plain.dispose()


async def test_migrations_lose_nothing_of_a_filled_database(path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{path}")

    @sa.event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA foreign_keys = on")

    with engine.begin() as connection:
        first_revision.fill(connection)
    with engine.begin() as connection:
        first_revision.check_round_trip(connection)
    engine.dispose()
    store = await SqlStore.open_sqlite(path)
    await first_revision.check_content(store)
    await store.close()
