"""Nothing is lost between the commit and the bus, and nothing gets another id."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from distconv.core.errors import UnavailableError
from distconv.core.ids import new_id
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.changes.signals import Signals
from distconv.dispatch.duties.outbox_relay import DUTY, OutboxRelay
from distconv.dispatch.store.memory import MemoryStore
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import OutboxRecord
from distconv.dispatch.store.sql import SqlStore
from distconv.dispatch.testing import ManualClock
from distconv.events.event import CloudEvent
from distconv.events.memory import MemoryEventBus
from distconv.events.port import EventRefusedError

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Recorder(MemoryEventBus):
    """A bus that notes every call, and takes duplicates as a bus without a window would."""

    def __init__(self) -> None:
        super().__init__(ManualClock(), dedupe_window=timedelta(0))
        self.published: list[CloudEvent] = []
        self.calls = 0
        self.refused: set[str] = set()
        self.unburied: set[str] = set()
        bury = self.dead_letters.bury

        async def bury_some(event: CloudEvent, **more) -> None:
            if event.id in self.unburied:
                raise EventRefusedError("too large", position=0)
            await bury(event, **more)

        self.dead_letters.bury = bury_some  # type: ignore[method-assign]

    async def publish(self, events) -> None:
        for position, event in enumerate(events):
            if event.id in self.refused:
                raise EventRefusedError("too large", position=position)
        await super().publish(events)
        self.calls += 1
        self.published += events


class World:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = ManualClock(NOW)
        self.bus = Recorder()
        self.changes = Changes(store, Signals(), self.clock, media_ttl=timedelta(1))
        self._count = 0

    def relay(self, **more) -> OutboxRelay:
        return OutboxRelay(
            self.store, self.changes, self.bus, self.clock, randomness=lambda: 1.0, **more
        )

    async def add(self, count: int, **fields) -> list[str]:
        ids = []
        async with self.store.transaction() as tx:
            for _ in range(count):
                self._count += 1
                row = OutboxRecord(
                    id=new_id(NOW, randomness=self._count),
                    tenant="local",
                    type="JobQueued",
                    subject="jobs/0000000000000001",
                    payload={"state": "PENDING"},
                    time=NOW,
                    sequence=self._count,
                    **fields,
                )
                await tx.add_event(row)
                ids.append(row.id)
        return ids

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.bus.published]


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    if request.param == "memory":
        yield World(MemoryStore())
        return
    store = await SqlStore.open_sqlite(tmp_path / "dispatch.db")
    try:
        yield World(store)
    finally:
        await store.close()


async def test_all_is_published_in_order_and_taken_out(world: World):
    ids = await world.add(450)
    assert await world.relay().run() is None
    assert world.ids == ids
    assert world.bus.calls == 3
    assert not await world.store.list_events(limit=10)


async def test_a_relay_that_dies_before_taking_out_publishes_again_under_the_same_ids(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    ids = await world.add(3)

    async def die(_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(world.changes, "make", die)
        with pytest.raises(asyncio.CancelledError):
            await world.relay().run()
    assert world.ids == ids
    assert len(await world.store.list_events(limit=10)) == 3
    await world.relay().run()
    assert world.ids == [*ids, *ids]
    assert not await world.store.list_events(limit=10)


async def test_an_event_that_is_refused_for_itself_holds_nothing_back(world: World):
    ids = await world.add(6)
    world.bus.refused = {ids[1], ids[4], ids[5]}
    world.bus.unburied = {ids[4]}
    assert await world.relay().run() is None
    assert list(dict.fromkeys(world.ids)) == [ids[0], ids[2], ids[3]]
    assert not await world.store.list_events(limit=10)
    letters = await world.bus.dead_letters.list()
    assert [letter.event.id for letter in letters] == [ids[1], ids[5]]
    assert "too large" in letters[0].reason


async def test_a_bus_that_is_away_is_tried_again_later_and_later(world: World):
    ids = await world.add(2)
    relay = world.relay()
    world.bus.away = True
    delays = []
    for _ in range(8):
        due = await relay.run()
        assert due is not None
        delays.append((due - world.clock.now()).total_seconds())
    assert delays == [0.5, 1, 2, 4, 8, 10, 10, 10]
    assert len(await world.store.list_events(limit=10)) == 2
    world.bus.away = False
    assert await relay.run() is None
    assert world.ids == ids


async def test_a_bus_that_failed_after_it_stored_gets_the_same_ids_again(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    ids = await world.add(2)
    publish = world.bus.publish

    async def store_and_fail(events) -> None:
        await publish(events)
        raise UnavailableError("the answer was lost")

    relay = world.relay()
    with monkeypatch.context() as patch:
        patch.setattr(world.bus, "publish", store_and_fail)
        assert await relay.run() is not None
    await relay.run()
    assert world.ids == [*ids, *ids]


async def test_while_another_has_the_duty_nothing_is_published(world: World):
    await world.add(1)
    async with world.store.duty(DUTY) as mine:
        assert mine
        due = await world.relay().run()
    assert due is not None
    assert not world.ids
    await world.relay().run()
    assert len(world.ids) == 1


async def test_with_replicas_it_looks_again_for_what_a_dead_one_left(world: World):
    due = await world.relay(sweep_interval=timedelta(seconds=5)).run()
    assert due == world.clock.now() + timedelta(seconds=5)


async def test_a_row_that_cannot_be_read_does_not_stop_the_rest(world: World):
    before = await world.add(1)
    async with world.store.transaction() as tx:
        await tx.add_event(
            OutboxRecord(id="odd", tenant="t", type="JobQueued", subject="", payload={}, time=NOW)
        )
    after = await world.add(1)
    await world.relay().run()
    assert world.ids == before + after
    assert not await world.store.list_events(limit=10)
    (letter,) = await world.bus.dead_letters.list()
    assert "could not be published" in letter.reason
    assert b'"id":"odd"' in letter.event.data
