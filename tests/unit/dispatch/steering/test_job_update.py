"""What another profile makes of a job that waits: its work, its place, its tenant's account."""

from datetime import timedelta

import pytest
from tests.unit.dispatch.test_scheduling import BROKEN, World

from distconv.core.profiles import load_catalogue
from distconv.core.task_states import TaskState
from distconv.dispatch.changes.ready_queue import work_of
from distconv.dispatch.lifecycle.feasibility import require_feasible
from distconv.dispatch.reading.finding import Finder
from distconv.dispatch.steering.job_update import JobUpdate, JobUpdates
from distconv.dispatch.steering.order import JobOrder
from distconv.dispatch.steering.validation import JobLimits
from distconv.dispatch.store.records import JobRecord, TaskRecord
from distconv.rpc.auth import Principal

WHO = Principal(user="u", tenant="local")


async def give_profile(world: World, job_id: str, name: str) -> None:
    updates = JobUpdates(
        changes=world.dispatch.changes,
        finder=Finder(world.store),
        catalogue=load_catalogue(),
        limits=JobLimits(default_max_retries=1, max_retries=9),
        require_feasible=require_feasible,
        clock=world.clock,
    )
    order = JobOrder(profile=f"profiles/{name}")
    asked = JobUpdate(name=f"jobs/{job_id}", etag="", order=order, paths=("profile",))
    await updates.update(WHO, asked)


async def read(world: World, job_id: str) -> tuple[JobRecord, TaskRecord]:
    job = await world.store.get_job(job_id)
    assert job is not None
    (task,) = await world.store.list_tasks(job_id)
    return job, task


async def paid(world: World) -> float:
    (account,) = await world.store.list_accounts()
    return account.finish_rank


@pytest.mark.parametrize("profile", ["av1-2160p", "hevc-1080p", "h264-480p"])
async def test_a_ready_task_has_the_work_of_its_new_profile_and_costs_as_much(profile: str) -> None:
    world, other = World(), World()
    job_id = await world.job()
    _, before = await read(world, job_id)
    await give_profile(world, job_id, profile)
    job, task = await read(world, job_id)
    work = work_of(task, job)
    assert (task.cost, task.height) == (work.cost, work.height)
    assert task.rank == before.rank
    # As if it had been created so.
    catalogue = load_catalogue()
    await other.job(profile=catalogue.get(profile), profile_name=profile)
    assert await paid(world) == pytest.approx(await paid(other))
    await world.job()
    assert await paid(world) == pytest.approx(work.cost + before.cost)


async def test_what_a_task_used_stays_paid() -> None:
    world = World()
    job_id = await world.job()
    await give_profile(world, job_id, "hevc-1080p")
    dear = await paid(world)
    session = await world.engine()
    await give_profile(world, job_id, "h264-480p")
    cheap = await paid(world)
    assert cheap < dear
    (attempt,) = await world.assigned(session)
    await world.end(attempt, BROKEN)
    await give_profile(world, job_id, "hevc-1080p")
    assert await paid(world) == pytest.approx(dear)
    await give_profile(world, job_id, "h264-480p")
    assert await paid(world) == pytest.approx(dear)
    world.clock.advance(timedelta(hours=1))
    await world.dispatch.concluding.resume_task((await read(world, job_id))[1].id)
    job, task = await read(world, job_id)
    assert task.state is TaskState.READY
    assert task.cost == work_of(task, job).cost
