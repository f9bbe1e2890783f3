"""A newcomer behind a backlog is next, whatever else the crowd has been served with."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.dispatch.test_scheduling import CAPABILITIES, World

from distconv.core.profiles import load_catalogue
from distconv.dispatch.sessions.session import EngineSession

CATALOGUE = load_catalogue()
CROWD = 40


async def nothing(world: World) -> None:
    """The backlog alone."""


async def with_priority(world: World) -> None:
    await world.job("crowd", priority=1)


async def with_deadline(world: World) -> None:
    await world.job("crowd", deadline=world.clock.now() + timedelta(hours=1))


async def with_an_engine_of_its_own(world: World) -> None:
    """One more job, which only an engine that is idle can do."""
    await world.job("crowd", profile=CATALOGUE.get("vp9-480p"))
    (transcoder,) = CAPABILITIES.transcoders
    own = replace(transcoder, encoders=("libvpx-vp9", "libopus"), muxers=("webm", "matroska"))
    session = await world.engine(capabilities=replace(CAPABILITIES, transcoders=(own,)))
    (attempt,) = await world.assigned(session)
    await world.end(attempt)


async def with_one_put_off(world: World) -> None:
    """One of the backlog was made more urgent, and less again."""
    job_id = await world.job("crowd")
    for priority in (5, 0):
        await world.reprioritise(job_id, priority=priority)


async def served_before(world: World, session: EngineSession, job_id: str) -> int:
    """Count what an engine gets until it gets a job."""
    (attempt,) = await world.assigned(session)
    count = 0
    while attempt.job_id != job_id:
        await world.end(attempt)
        (attempt,) = await world.assigned(session)
        count += 1
    await world.end(attempt)
    return count


@pytest.mark.parametrize(
    "happens",
    [nothing, with_priority, with_deadline, with_an_engine_of_its_own, with_one_put_off],
)
async def test_a_newcomer_is_next(happens: Callable[[World], Awaitable[None]]):
    world = World()
    for _ in range(CROWD):
        await world.job("crowd")
    await happens(world)
    session = await world.engine()
    for _ in range(3):
        (attempt,) = await world.assigned(session)
        await world.end(attempt)
    first = await world.job("newcomer")
    assert await served_before(world, session, first) <= 1  # what was assigned already
    # It has not paid for the crowd's haste either.
    second = await world.job("newcomer")
    assert await served_before(world, session, second) <= 2


async def test_who_shares_an_urgent_line_pays_in_that_line_alone():
    world = World()
    for _ in range(CROWD):
        await world.job("crowd")
    session = await world.engine()
    for _ in range(2):
        await world.job("crowd", priority=1)
        await world.job("newcomer", priority=1)
    usual = await world.job("newcomer")
    assert await served_before(world, session, usual) <= 6


async def test_a_task_that_comes_back_late_claims_no_past_for_others():
    world = World()
    early = await world.job("early")
    lost = await world.engine()
    (attempt,) = await world.assigned(lost)
    jobs = [await world.job("crowd") for _ in range(CROWD)]
    session = await world.engine()
    for _ in range(5):
        (others,) = [a for a in await world.assigned(session) if a.tenant == "crowd"]
        await world.end(others)
    world.clock.advance(timedelta(minutes=1))
    assert await world.dispatch.leasing.expire(attempt.id)
    (back,) = await world.store.list_tasks(early)
    ranks = [task.rank for job_id in jobs[6:] for task in await world.store.list_tasks(job_id)]
    assert ranks[0] / 2 < back.rank <= ranks[0]
