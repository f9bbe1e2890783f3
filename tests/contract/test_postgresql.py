"""What PostgreSQL alone has: several processes on one database, migrations, a server that goes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine
from tests.unit.dispatch.store import first_revision

from distconv.core.errors import InvalidArgumentError, UnavailableError
from distconv.dispatch.changes.group_commit import GroupCommit
from distconv.dispatch.store import migrate
from distconv.dispatch.store.keys import NO_KEYS
from distconv.dispatch.store.postgresql import PostgresqlOptions
from distconv.dispatch.store.records import AccountRecord, RequestRecord
from distconv.dispatch.store.sql import SqlStore
from distconv.dispatch.store.tables import metadata
from distconv.dispatch.store.transaction import Transaction
from servers import PostgresqlServer, postgresql_server

NOW = datetime(2030, 1, 1, tzinfo=UTC)
FAST = PostgresqlOptions(connect_timeout_s=0.5, checkout_timeout_s=0.5, lock_timeout_s=0.2)


@pytest.fixture
def url(postgresql: PostgresqlServer) -> str:
    return postgresql.new_database()


@pytest.fixture
async def plain(url: str) -> AsyncIterator[Any]:
    """Run functions on a connection, in a transaction."""
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))

    async def run(fn: Any) -> Any:
        async with engine.begin() as connection:
            return await connection.run_sync(fn)

    yield run
    await engine.dispose()


async def test_the_time_is_the_servers(url: str) -> None:
    store = await SqlStore.open_postgresql(url)
    before = datetime.now(UTC)
    told = await store.read_clock()
    assert told is not None
    assert before - timedelta(seconds=1) <= told <= datetime.now(UTC) + timedelta(seconds=1)
    await store.close()


class Body:
    def __init__(self, fn: Any) -> None:
        self.run = fn

    def committed(self) -> None:
        pass


async def test_many_processes_may_start_at_once(url: str) -> None:
    stores = await asyncio.gather(*(SqlStore.open_postgresql(url) for _ in range(5)))
    assert [await store.list_accounts() for store in stores] == [[]] * 5
    for store in stores:
        await store.close()


@pytest.mark.filterwarnings("ignore:autogenerate skipping:UserWarning")
async def test_migrations_make_the_tables_that_the_code_knows(plain: Any) -> None:
    def check(connection: sa.Connection) -> None:
        migrate.upgrade(connection, name="test")
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []

    await plain(check)


async def test_migrations_lose_nothing_of_a_filled_database(plain: Any, url: str) -> None:
    await plain(first_revision.fill)
    await plain(first_revision.check_round_trip)
    store = await SqlStore.open_postgresql(url)
    await first_revision.check_content(store)
    await store.close()

    def leave(connection: sa.Connection) -> None:
        migrate.downgrade(connection, "base")
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]

    await plain(leave)


async def test_two_replicas_asked_the_same_make_one_answer(url: str) -> None:
    stores = [await SqlStore.open_postgresql(url) for _ in range(2)]
    request = RequestRecord(
        tenant="t", request_id="r", method="m", digest="d", job_id="", create_time=NOW
    )
    meeting = asyncio.Barrier(2)

    async def make(tx: Transaction) -> bool:
        known = await tx.get_request("t", "r")
        if known is None:
            await meeting.wait()
            await tx.add_request(request)
        return known is None

    answers = await asyncio.gather(
        *(GroupCommit(store).run(Body(make), NO_KEYS) for store in stores)
    )
    assert sorted(answers) == [False, True]
    for store in stores:
        await store.close()


async def test_changes_that_block_one_another_are_both_made(url: str) -> None:
    stores = [await SqlStore.open_postgresql(url, FAST) for _ in range(2)]
    meeting = asyncio.Barrier(2)
    met = False

    def body(first: str, second: str) -> Body:
        async def make(tx: Transaction) -> None:
            nonlocal met
            one = await tx.get_account(first, 0)
            if not met:
                await meeting.wait()  # each holds what the other wants
                met = True
            two = await tx.get_account(second, 0)
            await tx.put_account(replace(one, finish_rank=one.finish_rank + 1))
            await tx.put_account(replace(two, finish_rank=two.finish_rank + 1))

        return Body(make)

    async with stores[0].transaction() as tx:
        for name in "ab":
            await tx.get_account(name, 0)
    await asyncio.gather(
        GroupCommit(stores[0]).run(body("a", "b"), NO_KEYS),
        GroupCommit(stores[1]).run(body("b", "a"), NO_KEYS),
    )
    assert [tenant.finish_rank for tenant in await stores[0].list_accounts()] == [2, 2]
    for store in stores:
        await store.close()


async def test_a_url_that_is_none_is_refused_without_quoting_it() -> None:
    for url in ("mysql://me:secret@host/db", "::secret::"):
        with pytest.raises(InvalidArgumentError, match="postgresql://") as caught:
            await SqlStore.open_postgresql(url)
        assert "secret" not in caught.value.message


async def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    with pytest.raises(UnavailableError, match="'films' at 127") as caught:
        await SqlStore.open_postgresql("postgresql://me:secret@127.0.0.1:1/films", FAST)
    assert "secret" not in caught.value.message


@pytest.fixture
def mortal(postgresql: PostgresqlServer) -> Iterator[PostgresqlServer]:
    with postgresql_server(fsync=False) as server:
        yield server


async def test_a_server_that_died_is_told_of_and_used_again_when_it_is_back(
    mortal: PostgresqlServer,
) -> None:
    url = await asyncio.to_thread(mortal.new_database)
    store = await SqlStore.open_postgresql(url, FAST)
    group = GroupCommit(store)

    async def count(tx: Transaction) -> float:
        known = await tx.get_account("t", 0)
        await tx.put_account(replace(known, finish_rank=known.finish_rank + 1))
        return known.finish_rank

    assert await group.run(Body(count), NO_KEYS) == 0
    await asyncio.to_thread(mortal.kill)
    for _ in range(3):
        with pytest.raises(UnavailableError, match="cannot be reached"):
            await store.list_accounts()
        with pytest.raises(UnavailableError, match="cannot be reached"):
            await group.run(Body(count), NO_KEYS)
    await asyncio.to_thread(mortal.start)
    assert await group.run(Body(count), NO_KEYS) == 1
    assert await store.list_accounts() == [AccountRecord(urgency=0, tenant="t", finish_rank=2)]
    # A connection that broke unnoticed: the next change and the next read mend it by themselves.
    await asyncio.to_thread(mortal.kill)
    await asyncio.to_thread(mortal.start)
    assert await group.run(Body(count), NO_KEYS) == 2
    await asyncio.to_thread(mortal.kill)
    await asyncio.to_thread(mortal.start)
    assert len(await store.list_accounts()) == 1
    await store.close()


async def test_a_pool_that_is_exhausted_says_so(url: str) -> None:
    options = PostgresqlOptions(pool_size=1, checkout_timeout_s=0.05)
    store = await SqlStore.open_postgresql(url, options)
    async with store.transaction() as tx:
        await tx.get_account("t", 0)
        with pytest.raises(UnavailableError, match=r"all connections .* are busy"):
            await store.list_accounts()
    await store.close()
