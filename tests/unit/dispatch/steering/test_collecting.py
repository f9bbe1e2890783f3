"""What is collected is what no job needs, and nothing else."""

from datetime import timedelta

import pytest
from tests.unit.dispatch.steering.test_sources import SOURCE, WHO, collect, completed, order
from tests.unit.dispatch.test_scheduling import BROKEN, World

from distconv.core.errors import UnavailableError
from distconv.dispatch.duties.object_collector import ObjectCollector
from distconv.dispatch.objects.port import Collected, CollectReason
from distconv.dispatch.steering.collecting import ObjectCollecting

DAY = timedelta(days=1)


def collecting(world: World, retention: timedelta | None = None) -> ObjectCollecting:
    return ObjectCollecting(
        store=world.store,
        changes=world.dispatch.changes,
        objects=world.objects,
        clock=world.clock,
        output_retention=retention,
    )


async def ids(world: World, retention: timedelta | None = None, *, dry_run: bool) -> list[str]:
    found = await collecting(world, retention).collect("local", dry_run=dry_run)
    await collect(world)
    return [one.object_id for one in found]


async def test_the_output_of_an_attempt_that_lost_is_collected_whenever_it_appears() -> None:
    world = World()
    await world.job()
    (attempt,) = await world.assigned(await world.engine())
    world.objects.put(attempt.object_id, size_bytes=7)
    assert await ids(world, dry_run=False) == []  # its attempt is at work on it
    await world.end(attempt, BROKEN)
    await collect(world)
    world.clock.advance(2 * DAY)
    await collect(world)
    # Restored from a backup of storage, say: nothing remembers that it was to be deleted.
    world.objects.put(attempt.object_id, size_bytes=7)
    expected = Collected(
        object_id=attempt.object_id, reason=CollectReason.LOST_OUTPUT, size_bytes=7
    )
    assert await collecting(world).collect("local", dry_run=True) == [expected]
    await collect(world)
    assert await world.objects.stat("local", attempt.object_id) is not None
    assert await ids(world, dry_run=False) == [attempt.object_id]
    assert await world.objects.stat("local", attempt.object_id) is None


async def test_a_result_is_kept_for_its_retention_and_no_longer() -> None:
    world = World()
    _, output = await completed(world)
    world.clock.advance(DAY - timedelta(seconds=1))
    assert await ids(world, None, dry_run=False) == []
    assert await ids(world, DAY, dry_run=False) == []
    world.clock.advance(timedelta(seconds=1))
    assert await ids(world, None, dry_run=False) == []
    assert await ids(world, DAY, dry_run=True) == [output]
    assert await world.objects.stat("local", output) is not None
    assert await ids(world, DAY, dry_run=False) == [output]
    assert await world.objects.stat("local", output) is None


async def test_a_result_that_another_job_reads_is_kept() -> None:
    world = World()
    _, output = await completed(world)
    world.clock.advance(DAY)
    reader = await world.dispatch.api.intake.create(WHO, order(output))
    assert await ids(world, timedelta(0), dry_run=False) == []
    await world.dispatch.api.control.cancel(WHO, f"jobs/{reader.job.id}")
    assert await ids(world, timedelta(0), dry_run=False) == [output]


async def test_what_users_uploaded_is_never_taken() -> None:
    world = World()
    world.objects.put(SOURCE, size_bytes=1)
    world.objects.put("of-no-job", size_bytes=1)
    view = await world.dispatch.api.intake.create(WHO, order(SOURCE))
    await world.dispatch.api.control.cancel(WHO, f"jobs/{view.job.id}")
    world.clock.advance(365 * DAY)
    assert await ids(world, timedelta(0), dry_run=False) == []


async def test_what_storage_alone_knows_of_is_collected_too() -> None:
    world = World()
    left = Collected(object_id="x", reason=CollectReason.ABANDONED_UPLOAD, size_bytes=3)
    world.objects.leftovers.append(left)
    assert await collecting(world).collect("local", dry_run=True) == [left]
    assert await collecting(world).collect("local", dry_run=False) == [left]
    assert await collecting(world).collect("local", dry_run=True) == []


async def test_it_is_done_now_and_then_and_storage_may_be_away() -> None:
    world = World()
    world.objects.leftovers.append(
        Collected(object_id="x", reason=CollectReason.LEFTOVER, size_bytes=3)
    )
    duty = ObjectCollector(world.store, collecting(world), world.clock, interval=DAY)
    assert await duty.run() == world.clock.now() + DAY
    assert world.objects.leftovers
    world.clock.advance(DAY)
    world.objects.away = True
    assert await duty.run() == world.clock.now() + DAY
    with pytest.raises(UnavailableError):
        await collecting(world).collect("local", dry_run=True)
    world.objects.away = False
    world.clock.advance(DAY)
    await duty.run()
    assert not world.objects.leftovers
