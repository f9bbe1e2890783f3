"""A job is never created on an object that is being deleted, nor loses its source to that."""

import asyncio
from typing import Any

import pytest
from tests.unit.dispatch.test_scheduling import World

from distconv.core.errors import DistconvError, FailedPreconditionError, NotFoundError
from distconv.dispatch.duties.garbage_collector import GarbageCollector
from distconv.dispatch.steering.order import JobOrder
from distconv.dispatch.store.records import JobRecord
from distconv.rpc.auth import Principal

WHO = Principal(user="u", tenant="local")


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
