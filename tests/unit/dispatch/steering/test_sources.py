"""A job is never created on an object that is being deleted, nor loses its source to that."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.dispatch.test_scheduling import World

from distconv.core.errors import DistconvError, FailedPreconditionError, NotFoundError
from distconv.dispatch.duties.garbage_collector import GarbageCollector
from distconv.dispatch.objects.access import DELETE_TTL, REMEMBERED, MediaMint
from distconv.dispatch.steering.media_grants import MediaGrants
from distconv.dispatch.steering.order import JobOrder
from distconv.dispatch.store.records import JobRecord
from distconv.rpc.auth import Principal
from distconv.rpc.tokens import KEY_BYTES, MediaAction, MediaTokens

WHO = Principal(user="u", tenant="local")
SOURCE = "0123456789abcdef"


async def completed(world: World) -> tuple[str, str]:
    """Bring a job to its end; return its id and that of its output."""
    job_id = await world.job()
    (attempt,) = await world.assigned(await world.engine())
    await world.end(attempt)
    world.objects.put(attempt.object_id, size_bytes=1)
    return job_id, attempt.object_id


def order(object_id: str) -> JobOrder:
    return JobOrder(
        source_object=f"objects/{object_id}", source_file_name="f.mp4", profile="profiles/h264-480p"
    )


async def delete(world: World, job_id: str) -> JobRecord:
    return await world.dispatch.api.control.delete(WHO, f"jobs/{job_id}", delete_output=True)


async def collect(world: World) -> None:
    await GarbageCollector(world.store, world.dispatch.changes, world.objects, world.clock).run()


@pytest.mark.parametrize("collected", [False, True])
@pytest.mark.parametrize("batch", [False, True])
async def test_a_source_that_was_deleted_once_it_had_been_seen_is_refused(
    monkeypatch: pytest.MonkeyPatch, *, collected: bool, batch: bool
) -> None:
    world = World()
    job_id, output = await completed(world)
    world.objects.put("0123456789abcdef", size_bytes=1)
    stat = world.objects.stat

    async def late(tenant: str, object_id: str) -> Any:
        found = await stat(tenant, object_id)
        if object_id == output:
            await delete(world, job_id)
            if collected:
                await collect(world)
        return found

    monkeypatch.setattr(world.objects, "stat", late)
    intake = world.dispatch.api.intake
    orders = [order("0123456789abcdef"), order(output)]
    creating: Any = intake.create_many(WHO, orders) if batch else intake.create(WHO, orders[1])
    with pytest.raises(NotFoundError, match="upload the source first") as caught:
        await creating
    assert caught.value.metadata["field"].startswith("requests[1]." if batch else "job.source")
    assert [job.id for job in await world.store.find_jobs("local", "", limit=9)] == [job_id]


async def test_of_a_job_on_an_output_and_its_deletion_at_once_one_is_refused() -> None:
    for first_creates in (False, True):
        world = World()
        job_id, output = await completed(world)
        creating = world.dispatch.api.intake.create(WHO, order(output))
        deleting = delete(world, job_id)
        calls: list[Any] = [creating, deleting] if first_creates else [deleting, creating]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        errors = [answer for answer in answers if isinstance(answer, DistconvError)]
        assert len(errors) == 1
        assert isinstance(errors[0], NotFoundError | FailedPreconditionError)
        await collect(world)
        kept = await world.objects.stat("local", output)
        jobs = await world.store.find_jobs("local", "", limit=9)
        assert (kept is not None) == (len(jobs) == 2)


def grants(world: World) -> MediaGrants:
    mint = MediaMint(
        MediaTokens(b"k" * KEY_BYTES, world.clock), storage_addresses=(), ttl=timedelta(hours=24)
    )
    return MediaGrants(mint, world.objects, world.store, world.dispatch.changes, world.clock)


@pytest.mark.parametrize("first_creates", [False, True])
async def test_of_a_job_on_a_source_and_the_grant_to_delete_it_at_once_one_is_refused(
    *, first_creates: bool
) -> None:
    world = World()
    world.objects.put(SOURCE, size_bytes=1)
    creating = world.dispatch.api.intake.create(WHO, order(SOURCE))
    granting = grants(world).grant(WHO, MediaAction.DELETE, SOURCE)
    calls: list[Any] = [creating, granting] if first_creates else [granting, creating]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, DistconvError)]
    assert len(errors) == 1
    assert isinstance(errors[0], NotFoundError | FailedPreconditionError)


async def test_a_job_that_saw_its_source_before_the_grant_to_delete_it_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.objects.put(SOURCE, size_bytes=1)
    stat, granted = world.objects.stat, False

    async def late(tenant: str, object_id: str) -> Any:
        nonlocal granted
        found = await stat(tenant, object_id)
        if not granted:
            granted = True
            await grants(world).grant(WHO, MediaAction.DELETE, SOURCE)
        return found

    monkeypatch.setattr(world.objects, "stat", late)
    with pytest.raises(NotFoundError, match="upload the source first"):
        await world.dispatch.api.intake.create(WHO, order(SOURCE))


async def test_what_a_user_was_granted_to_delete_and_did_not_is_deleted_for_him() -> None:
    world = World()
    world.objects.put(SOURCE, size_bytes=1)
    access = await grants(world).grant(WHO, MediaAction.DELETE, SOURCE)
    assert access.expire_time == world.clock.now() + DELETE_TTL
    await collect(world)
    assert await world.objects.stat("local", SOURCE) is not None
    world.clock.advance(DELETE_TTL)
    await collect(world)
    assert await world.objects.stat("local", SOURCE) is None
    # It is known to be deleted a while longer: a job may have seen it before.
    assert await world.store.get_next_garbage_time() == world.clock.now() + REMEMBERED
    world.clock.advance(REMEMBERED)
    await collect(world)
    assert await world.store.get_next_garbage_time() is None


async def test_a_deletion_that_is_due_already_is_not_put_off_by_a_grant() -> None:
    world = World()
    job_id, output = await completed(world)
    due = world.clock.now()
    await delete(world, job_id)
    await grants(world).grant(WHO, MediaAction.DELETE, output)
    (garbage,) = await world.store.list_due_garbage(due, limit=9)
    assert (garbage.object_id, garbage.due_time) == (output, due)
    assert garbage.final_time == due + DELETE_TTL + REMEMBERED
