"""Which replica holds an engine, which replicas there are, and when either is gone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest

from distconv.core.engine import EngineState
from distconv.core.errors import FailedPreconditionError
from distconv.dispatch.replicas.presence import ReplicaPresence
from distconv.dispatch.store.memory import MemoryStore
from distconv.dispatch.store.records import EngineRecord
from distconv.dispatch.store.sql import SqlStore
from distconv.dispatch.testing import ManualClock

from .conftest import Engine, Farm

INTERVAL = timedelta(seconds=10)


async def _moved(farm: Farm, engine: Engine, **fields: object) -> None:
    """Change the engine's record as another replica would."""
    known = await farm.store.get_engine(engine.name.removeprefix("engines/"))
    assert known is not None
    async with farm.store.transaction() as tx:
        await tx.put_engine(replace(known, **fields))  # type: ignore[arg-type]


async def _stored(farm: Farm, engine: Engine) -> EngineRecord:
    found = await farm.store.get_engine(engine.name.removeprefix("engines/"))
    assert found is not None
    return found


async def test_heartbeats_are_stored_by_the_keeper(farm: Farm) -> None:
    engine = await farm.engine()
    begun = (await _stored(farm, engine)).heartbeat_time
    await farm.pass_time(seconds=4)
    await engine.beat()
    assert (await _stored(farm, engine)).heartbeat_time == begun
    await farm.dispatch.keeper.run()
    assert (await _stored(farm, engine)).heartbeat_time == farm.clock.now()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"session_id": "another0000000000"[:16]}, grpc.StatusCode.ALREADY_EXISTS),
        ({"session_id": ""}, grpc.StatusCode.UNAVAILABLE),
        ({"session_id": "", "state": EngineState.REVOKED}, grpc.StatusCode.PERMISSION_DENIED),
    ],
    ids=["another process", "given up", "revoked"],
)
async def test_a_session_that_is_not_the_engines_any_more_ends(
    farm: Farm, fields: dict[str, object], code: grpc.StatusCode
) -> None:
    engine = await farm.engine()
    await _moved(farm, engine, **fields)
    await farm.dispatch.keeper.run()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await engine.hear("drain")
    assert caught.value.code() is code


async def test_an_engine_that_nobody_hears_is_offline_in_the_end(farm: Farm) -> None:
    engine = await farm.engine()
    # As if its replica had been killed: the session is nobody's.
    silent = EngineRecord(
        **{
            name: getattr(await _stored(farm, engine), name)
            for name in EngineRecord.__dataclass_fields__
        }
        | {"id": farm.new_id(), "replica_id": "another000000000"}
    )
    async with farm.store.transaction() as tx:
        await tx.put_engine(silent)
    await farm.pass_time(seconds=39)
    await farm.dispatch.keeper.run()
    await farm.dispatch.reaper.run()
    assert await farm.store.count_online_engines() == 2
    await engine.beat()
    await farm.pass_time(seconds=2)
    await farm.dispatch.keeper.run()
    await farm.dispatch.reaper.run()
    found = await farm.store.get_engine(silent.id)
    assert found is not None
    assert (found.state, found.session_id) == (EngineState.OFFLINE, "")
    assert await farm.store.count_online_engines() == 1


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[SqlStore]:
    store = await SqlStore.open_sqlite(tmp_path / "shared.db")
    yield store
    await store.close()


def _presence(
    store: SqlStore | MemoryStore,
    clock: ManualClock,
    name: str,
    *,
    key: bytes = b"k" * 32,
    storage: tuple[str, ...] = ("127.0.0.1:7401",),
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> ReplicaPresence:
    return ReplicaPresence(
        store,
        clock,
        replica_id=name.ljust(16, "0"),
        media_key=key,
        storage_addresses=storage,
        interval=INTERVAL,
        pause=pause,
    )


async def test_replicas_know_one_another_until_one_leaves_or_falls_silent(shared: SqlStore) -> None:
    clock = ManualClock()
    one, two, three = (_presence(shared, clock, name) for name in ("a", "b", "c"))
    for number, presence in enumerate((one, two, three)):
        await presence.check()
        await presence.enter(f"127.0.0.1:740{number}")
    await one.run()
    assert one.peers() == ("127.0.0.1:7401", "127.0.0.1:7402")
    await two.leave()
    await one.run()
    assert one.peers() == ("127.0.0.1:7402",)
    clock.advance(INTERVAL * 3.5)
    await one.run()
    assert one.peers() == ()


async def test_a_look_out_of_turn_finds_who_began_since_the_last(shared: SqlStore) -> None:
    clock = ManualClock()
    one, two = (_presence(shared, clock, name) for name in ("a", "b"))
    await one.enter("127.0.0.1:7400")
    await two.enter("127.0.0.1:7401")
    assert one.peers() == ()
    await one.look()
    assert one.peers() == ("127.0.0.1:7401",)


async def test_a_replica_with_another_media_key_is_refused_while_others_run(
    shared: SqlStore,
) -> None:
    clock = ManualClock()
    await _presence(shared, clock, "a").enter("127.0.0.1:7400")
    other = _presence(shared, clock, "b", key=b"o" * 32)
    with pytest.raises(FailedPreconditionError, match="another key") as caught:
        await other.check()
    assert "kkkk" not in caught.value.message
    clock.advance(INTERVAL * 4)  # nobody is left to disagree with: the key may change
    await other.check()


async def test_of_two_that_start_together_with_different_keys_the_later_one_gives_up(
    shared: SqlStore,
) -> None:
    clock = ManualClock()
    one = _presence(shared, clock, "b")
    clock.advance(timedelta(milliseconds=1))
    two = _presence(shared, clock, "a", key=b"o" * 32)
    for presence in (one, two):
        await presence.check()
    results = await asyncio.gather(
        two.enter("127.0.0.1:7402"), one.enter("127.0.0.1:7400"), return_exceptions=True
    )
    # The earlier one may have come to look when the other was not there yet, and the other way.
    assert results[1] is None
    if results[0] is None:
        with pytest.raises(FailedPreconditionError, match="another key"):
            await two.enter("127.0.0.1:7402")
    else:
        assert isinstance(results[0], FailedPreconditionError)


async def test_a_copy_of_a_data_folder_is_refused_while_the_first_runs(shared: SqlStore) -> None:
    clock = ManualClock()
    first = _presence(shared, clock, "a")
    await first.enter("127.0.0.1:7400")

    async def first_tells(seconds: float) -> None:
        clock.advance(timedelta(seconds=seconds))
        await first.run()

    copy = _presence(shared, clock, "a", pause=first_tells)
    with pytest.raises(FailedPreconditionError, match=r"at 127\.0\.0\.1:7400 .* is a copy"):
        await copy.check("127.0.0.1:7500")


@pytest.mark.parametrize(("address", "pauses"), [("127.0.0.1:7400", 0), ("127.0.0.1:7500", 1)])
async def test_a_replica_that_was_killed_comes_back_under_its_id(
    shared: SqlStore, address: str, pauses: int
) -> None:
    clock, waited = ManualClock(), list[float]()

    async def pause(seconds: float) -> None:
        waited.append(seconds)
        clock.advance(timedelta(seconds=seconds))

    await _presence(shared, clock, "a").enter("127.0.0.1:7400")
    clock.advance(timedelta(seconds=1))
    again = _presence(shared, clock, "a", pause=pause)
    await again.check(address)
    await again.enter(address)
    assert waited == [14.0] * pauses


@pytest.mark.parametrize("embedded", ["a", "b"])
async def test_storage_embedded_in_one_of_several_replicas_is_refused(
    shared: SqlStore, embedded: str
) -> None:
    clock = ManualClock()
    one, two = (
        _presence(shared, clock, name, storage=() if name == embedded else ("127.0.0.1:7401",))
        for name in ("a", "b")
    )
    await one.check()
    await one.enter("127.0.0.1:7400")
    with pytest.raises(FailedPreconditionError, match="embedded storage"):
        await two.check()


async def test_a_replica_that_is_started_again_agrees_with_itself(shared: SqlStore) -> None:
    clock = ManualClock()
    await _presence(shared, clock, "a", storage=()).enter("127.0.0.1:7400")
    await _presence(shared, clock, "a", storage=()).check()
