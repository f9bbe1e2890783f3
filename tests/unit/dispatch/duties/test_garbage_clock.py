"""By which clock the collector forgets what an engine may still write."""

from datetime import UTC, datetime, timedelta

from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.changes.signals import Signals
from distconv.dispatch.duties.garbage_collector import GarbageCollector
from distconv.dispatch.store.memory import MemoryStore
from distconv.dispatch.store.records import GarbageRecord
from distconv.dispatch.testing import FakeObjects, ManualClock

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
TTL = timedelta(minutes=1)


class _ServerStore(MemoryStore):
    """A store whose database has a clock of its own."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    async def read_clock(self) -> datetime:
        return self._clock.now()


async def test_an_object_is_not_forgotten_by_a_clock_that_was_put_forward():
    server, own = ManualClock(NOW), ManualClock(NOW)
    store, objects = _ServerStore(server), FakeObjects()
    changes = Changes(store, Signals(), own, media_ttl=TTL)
    collector = GarbageCollector(store, changes, objects, own)
    await changes.make(_discard)
    own.jump(2 * TTL)

    await collector.run()
    assert await store.get_next_garbage_time() is not None
    # Its engine writes it until the token has ended by the clocks of all the others.
    objects.put("o", size_bytes=1, tenant="t")
    for clock in (server, own):
        clock.advance(TTL)

    assert await collector.run() is None
    assert not objects.stored


async def _discard(change: Change) -> None:
    await change.tx.put_garbage(
        GarbageRecord(object_id="o", tenant="t", due_time=NOW, final_time=NOW + TTL)
    )
