"""A row of PostgreSQL that someone holds for long: a frozen replica, an operator's session."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from tests.unit.dispatch.test_scheduling import World

from distconv.core.attempt import AttemptPhase
from distconv.core.attempt_states import AttemptEvent, AttemptState
from distconv.core.names import AttemptRef
from distconv.core.progress import JobProgress
from distconv.core.states import JobState
from distconv.dispatch.changes.change import Change
from distconv.dispatch.duties.lease_rescuer import LeaseRescuer
from distconv.dispatch.sessions.messages import AttemptReport, Heartbeat
from distconv.dispatch.sessions.session import EngineSession
from distconv.dispatch.store.failures import ConflictError
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.postgresql import PostgresqlOptions
from distconv.dispatch.store.records import AccountRecord, AttemptRecord
from distconv.dispatch.store.sql import SqlStore
from servers import PostgresqlServer

OPTIONS = PostgresqlOptions(lock_timeout_s=0.3)
# What nothing stands in the way of is done within so much, on a machine with other work too.
PROMPTLY_S = 5.0

Lock = Callable[[str, str], Awaitable[None]]


@pytest.fixture
def url(postgresql: PostgresqlServer) -> str:
    return postgresql.new_database()


@pytest.fixture
async def world(url: str) -> AsyncIterator[World]:
    store = await SqlStore.open_postgresql(url, OPTIONS)
    yield World(store=store, heartbeat_interval_s=5, lease_duration_s=20)
    await store.close()


@asynccontextmanager
async def locking(url: str) -> AsyncIterator[Lock]:
    """Lock rows for as long as the block lasts, by table and key."""
    connection: Any = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()

    async def lock(table: str, key: str) -> None:
        name = "tenant" if table == "accounts" else "id"
        found = await connection.fetch(
            f"SELECT 1 FROM {table} WHERE {name} = $1 FOR UPDATE",  # noqa: S608  # ours
            key,
        )
        assert found

    try:
        yield lock
    finally:
        await transaction.rollback()
        await connection.close()


async def running(world: World) -> tuple[EngineSession, AttemptRecord]:
    """Have one more engine at work on a job of its own."""
    await world.job()
    session = await world.engine()
    (attempt,) = await world.assigned(session)
    await world.dispatch.leasing.accept(attempt.id)
    session.held[attempt.id].accepted = True
    return session, attempt


async def beat(world: World, session: EngineSession) -> None:
    reports = [
        AttemptReport(
            ref=AttemptRef(job=held.job_id, task=held.attempt.task_id, attempt=attempt_id),
            fencing_token=held.fencing_token,
            phase=AttemptPhase.STARTING,
            progress=JobProgress(),
        )
        for attempt_id, held in session.held.items()
        if held.attempt is not None
    ]
    await world.dispatch.sessions._messages.take(session, Heartbeat(attempts=reports))


async def test_unrelated_changes_commit_while_one_waits(world: World, url: str) -> None:
    ids = [await world.job() for _ in range(12)]
    async with locking(url) as lock:
        await lock("jobs", ids[5])
        began = time.monotonic()
        cancels = [
            asyncio.create_task(world.dispatch.concluding.cancel(job_id, by="me")) for job_id in ids
        ]
        stuck = cancels.pop(5)
        await asyncio.gather(*cancels)
        for _ in range(3):
            await world.job("other")
        assert time.monotonic() - began < PROMPTLY_S
        assert not stuck.done()
    assert (await stuck).state is JobState.CANCELLED
    for job_id in ids:
        job = await world.store.get_job(job_id)
        assert job is not None
        assert job.state is JobState.CANCELLED


async def test_a_lock_costs_no_other_engine_its_lease(world: World, url: str) -> None:
    (slow, held), (well, free) = await running(world), await running(world)
    rescuer = LeaseRescuer(world.store, world.dispatch.leasing, world.clock, world.dispatch.circuit)
    async with locking(url) as lock:
        await lock("attempts", held.id)
        # Somebody waits for the row all the while.
        waiting = asyncio.create_task(
            world.dispatch.leasing.release(
                held.id, AttemptEvent.GIVEN_BACK, cause="its user's wish"
            )
        )
        for _ in range(9):
            world.clock.advance(timedelta(seconds=5))
            began = time.monotonic()
            await beat(world, well)
            await beat(world, slow)
            assert time.monotonic() - began < PROMPTLY_S
            renewed = await world.store.get_attempt(free.id)
            assert renewed is not None
            assert renewed.lease_expire_time == world.clock.now() + timedelta(seconds=20)
            # Not told that it holds longer than it does, nor that it does not hold.
            assert not slow.held[held.id].stopping
            assert slow.held[held.id].expire_time == held.lease_expire_time
    await asyncio.gather(waiting, return_exceptions=True)  # it may have given up
    await rescuer.run()
    still = await world.store.get_attempt(free.id)
    assert still is not None
    assert still.state is AttemptState.RUNNING


async def test_a_lease_that_was_passed_over_is_renewed_by_the_next_heartbeat(
    world: World, url: str
) -> None:
    session, attempt = await running(world)
    async with locking(url) as lock:
        await lock("attempts", attempt.id)
        world.clock.advance(timedelta(seconds=5))
        await beat(world, session)
    world.clock.advance(timedelta(seconds=5))
    await beat(world, session)
    renewed = await world.store.get_attempt(attempt.id)
    assert renewed is not None
    assert renewed.lease_expire_time == world.clock.now() + timedelta(seconds=20)


async def test_tasks_of_other_tenants_are_given_out_while_one_account_is_held(
    world: World, url: str
) -> None:
    await world.job("held")
    await world.job("free")
    session = await world.engine(slots=2)
    async with locking(url) as lock:
        await lock("accounts", "held")
        began = time.monotonic()
        assert [attempt.tenant for attempt in await world.assigned(session)] == ["free"]
        assert time.monotonic() - began < PROMPTLY_S
    assert {attempt.tenant for attempt in await world.assigned(session)} == {"free", "held"}


async def test_what_is_refused_for_a_lock_changed_nothing(world: World, url: str) -> None:
    await world.job("held")
    before = await world.store.list_accounts()

    async def pay(change: Change) -> None:
        account = AccountRecord(tenant="held", urgency=0, finish_rank=99)
        await change.tx.put_account(account)

    async with locking(url) as lock:
        await lock("accounts", "held")
        with pytest.raises(ConflictError, match="try again"):
            await world.dispatch.changes.make(pay, keys=Keys(tenants=("held",)), patient=False)
    assert await world.store.list_accounts() == before


async def test_a_transaction_that_stands_still_loses_its_locks(url: str) -> None:
    frozen = await SqlStore.open_postgresql(url, PostgresqlOptions(idle_timeout_s=0.3))
    other = World(store=await SqlStore.open_postgresql(url, OPTIONS))
    await other.job("t")
    with pytest.raises(Exception, match=r"broke|nothing was changed|may or may not have been made"):
        async with frozen.transaction(Keys(tenants=("t",))):
            await other.job("t")  # waits for the lock, and gets it
    await frozen.close()
    await other.store.close()
