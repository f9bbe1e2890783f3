"""What is asked of an object while it is being deleted is not lost."""

from datetime import datetime, timedelta

from tests.unit.dispatch.test_scheduling import World

from distconv.dispatch.changes.change import Change
from distconv.dispatch.duties.garbage_collector import GarbageCollector
from distconv.dispatch.store.records import GarbageRecord
from distconv.dispatch.testing import FakeObjects


async def put(world: World, final_time: datetime) -> None:
    async def make(change: Change) -> None:
        await change.tx.put_garbage(
            GarbageRecord(object_id="x", tenant="local", due_time=change.now, final_time=final_time)
        )

    await world.dispatch.changes.make(make)


class Slow(FakeObjects):
    """Storage that hears of an engine's late word while it deletes."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    async def delete(self, tenant: str, object_id: str) -> None:
        await super().delete(tenant, object_id)
        if len(self.deleted) == 1:
            await put(self._world, self._world.clock.now() + timedelta(hours=24))


async def test_a_last_deletion_that_was_asked_for_meanwhile_is_made() -> None:
    world = World()
    await put(world, world.clock.now())
    objects = Slow(world)
    collector = GarbageCollector(world.store, world.dispatch.changes, objects, world.clock)
    for _ in range(3):
        await collector.run()
        world.clock.advance(timedelta(seconds=2))
    (left,) = await world.store.list_due_garbage(world.clock.now() + timedelta(hours=25), limit=9)
    assert left.due_time == left.final_time
    world.clock.advance(timedelta(hours=24))
    assert await collector.run() is None
    assert objects.deleted == ["x"] * 3


async def test_an_earlier_last_deletion_does_not_replace_a_later_one() -> None:
    world = World()
    later = world.clock.now() + timedelta(hours=24)
    await put(world, later)
    await put(world, world.clock.now())
    (garbage,) = await world.store.list_due_garbage(world.clock.now(), limit=9)
    assert garbage.final_time == later
