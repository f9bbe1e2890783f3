"""Backups of the embedded database: while it is in use, on a schedule, and the way back."""

import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from distconv.core.errors import AlreadyExistsError, DataLossError, NotFoundError
from distconv.dispatch.duties.backup_keeper import BackupKeeper
from distconv.dispatch.main import main
from distconv.dispatch.store import backup
from distconv.dispatch.store.records import OutboxRecord, ReplicaRecord
from distconv.dispatch.store.sql import SqlStore
from distconv.dispatch.testing import ManualClock
from distconv.process.data_dir import owned

NOW = datetime(2030, 1, 1, tzinfo=UTC)
EVENT = OutboxRecord(tenant="local", type="t", subject="s", payload={"k": "v" * 50}, time=NOW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dispatch.db"


async def _add(store: SqlStore, count: int) -> None:
    async with store.transaction() as tx:
        for _ in range(count):
            await tx.add_event(EVENT)


async def _count(path: Path) -> int:
    store = await SqlStore.open_sqlite(path)
    try:
        return len(await store.list_events(limit=10_000))
    finally:
        await store.close()


async def _filled(path: Path, count: int = 200) -> None:
    store = await SqlStore.open_sqlite(path)
    await _add(store, count)
    await store.close()


def _damage(path: Path) -> bytes:
    content = bytearray(path.read_bytes())
    content[4096:12288] = b"\xde\xad" * 4096
    path.write_bytes(content)
    return bytes(content)


async def test_database_and_backups_are_for_their_owner_alone(path: Path) -> None:
    store = await SqlStore.open_sqlite(path)
    await _add(store, 1)
    modes = [stat.S_IMODE(file.stat().st_mode) for file in backup.leftovers(path)]
    await store.close()
    assert modes == [0o600] * 3
    target = backup.folder_of(path) / backup.name_at(NOW)
    backup.make(path, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert stat.S_IMODE(target.parent.stat().st_mode) == 0o700


async def test_a_backup_is_made_while_the_database_is_in_use(path: Path) -> None:
    store = await SqlStore.open_sqlite(path)
    await _add(store, 100)
    target = path.parent / "elsewhere" / "copy.db"
    async with store.transaction() as tx:  # a writer is in the middle of a change
        await tx.add_event(EVENT)
        assert backup.make(path, target) == target.stat().st_size
    await _add(store, 10)
    await store.close()
    assert [file.name for file in target.parent.iterdir()] == ["copy.db"]
    assert await _count(target) == 100
    assert await _count(path) == 111


async def test_a_backup_overwrites_nothing_and_needs_a_database(path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no database"):
        backup.make(path, path.parent / "copy.db")
    await _filled(path)
    (path.parent / "copy.db").write_text("precious")
    with pytest.raises(AlreadyExistsError, match="is there already"):
        backup.make(path, path.parent / "copy.db")
    assert (path.parent / "copy.db").read_text() == "precious"


async def test_backups_are_made_on_schedule_and_the_oldest_go(path: Path) -> None:
    await _filled(path)
    clock = ManualClock()
    keeper = BackupKeeper(path, clock, interval=timedelta(hours=24), keep=3)
    for _ in range(5):
        assert await keeper.run() == clock.now() + timedelta(hours=24)
        clock.advance(timedelta(hours=23))
        assert await keeper.run() == clock.now() + timedelta(hours=1)
        clock.advance(timedelta(hours=1))
    times = [backup.time_of(file) for file in backup.backups_of(path)]
    assert times == [clock.now() - timedelta(hours=24 * k) for k in (1, 2, 3)]
    # After a restart the newest file says when the next is due.
    again = BackupKeeper(path, clock, interval=timedelta(hours=30), keep=3)
    assert await again.run() == clock.now() + timedelta(hours=6)


async def test_an_empty_database_is_not_backed_up(path: Path) -> None:
    store = await SqlStore.open_sqlite(path)
    clock = ManualClock()
    keeper = BackupKeeper(path, clock, interval=timedelta(hours=24), keep=3)
    running = ReplicaRecord(
        id="r", address="", version="", media_key="", storage="", start_time=NOW, heartbeat_time=NOW
    )
    await store.put_replica(running)  # nothing to keep
    assert await keeper.run() == clock.now() + timedelta(minutes=10)
    assert not backup.folder_of(path).exists()
    await _add(store, 1)
    await store.close()
    clock.advance(timedelta(minutes=10))
    assert await keeper.run() == clock.now() + timedelta(hours=24)
    (made,) = backup.backups_of(path)
    assert await _count(made) == 1


async def test_the_last_sound_backup_is_never_deleted(path: Path) -> None:
    await _filled(path)
    clock = ManualClock()
    folder = backup.folder_of(path)
    for _ in range(4):
        backup.make(path, folder / backup.name_at(clock.now()))
        clock.advance(timedelta(hours=1))
    *damaged, sound = backup.backups_of(path)
    for file in damaged:
        _damage(file)
    backup.prune(path, keep=2)
    assert backup.newest_good(path) == sound


async def test_a_damaged_database_is_refused_with_the_way_back(path: Path) -> None:
    await _filled(path, 150)
    clock = ManualClock()
    folder = backup.folder_of(path)
    good = folder / backup.name_at(clock.now())
    backup.make(path, good)
    bad = folder / backup.name_at(clock.now() + timedelta(hours=1))
    backup.make(path, bad)
    _damage(bad)
    content = _damage(path)
    with pytest.raises(DataLossError, match="is damaged") as caught:
        await SqlStore.open_sqlite(path)
    assert f"distconv-dispatch restore --data-dir {path.parent} {good}" in caught.value.message
    assert path.read_bytes() == content
    # The words of the message, as a person would type them.
    done = CliRunner().invoke(main, ["restore", "--data-dir", str(path.parent), str(good)])
    assert done.exit_code == 0, done.output
    assert await _count(path) == 150
    (aside,) = path.parent.glob("dispatch.db.replaced-*")
    assert aside.read_bytes() == content


@pytest.mark.parametrize("trace", ["backup", "wal"])
async def test_a_missing_database_is_not_replaced_by_an_empty_one(path: Path, trace: str) -> None:
    await _filled(path)
    if trace == "backup":
        backup.make(path, backup.folder_of(path) / backup.name_at(NOW))
    else:
        path.with_name("dispatch.db-wal").write_bytes(b"what was not checkpointed")
    path.rename(path.with_name("hidden"))
    with pytest.raises(DataLossError, match="is missing, but there was one") as caught:
        await SqlStore.open_sqlite(path)
    assert "--new" in caught.value.message
    assert not path.exists()
    store = await SqlStore.open_sqlite(path, new=True)
    assert not await store.list_events(limit=1)
    await store.close()
    if trace == "wal":
        (aside,) = path.parent.glob("dispatch.db-wal.lost-*")
        assert aside.read_bytes() == b"what was not checkpointed"


async def test_a_damaged_backup_is_not_restored(path: Path) -> None:
    await _filled(path)
    copy = path.parent / "copy.db"
    backup.make(path, copy)
    _damage(copy)
    before = path.read_bytes()
    with pytest.raises(DataLossError, match="nothing was changed"):
        backup.restore(copy, path, now=NOW)
    assert path.read_bytes() == before
    with pytest.raises(NotFoundError):
        backup.restore(path.parent / "none.db", path, now=NOW)


async def test_the_commands_tell_what_they_did(path: Path) -> None:
    await _filled(path, 5)
    where = ["--data-dir", str(path.parent)]
    done = CliRunner().invoke(main, ["backup", *where])
    assert done.exit_code == 0, done.output
    (made,) = backup.backups_of(path)
    assert str(made) in done.output
    named = path.parent / "named.db"
    done = CliRunner().invoke(main, ["backup", *where, "--to", str(named)])
    assert done.exit_code == 0, done.output
    with closing(sqlite3.connect(named)) as connection:
        assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (5,)
    again = CliRunner().invoke(main, ["backup", *where, "--to", str(named)])
    assert again.exit_code == 1
    assert "is there already" in again.output
    with owned(path.parent, "dispatch"):  # a dispatch runs
        refused = CliRunner().invoke(main, ["restore", *where, str(named)])
    assert refused.exit_code == 1
    assert "another dispatch" in refused.output
