"""Time jumps, and the dead stay as they were between two awaits."""

import asyncio

import pytest
from tests.simulation.virtual_loop import Process, StuckError, VirtualLoop


def test_time_jumps_to_the_next_timer():
    loop = VirtualLoop.new()

    async def sleep() -> float:
        await asyncio.sleep(3600)
        return loop.time()

    assert loop.run_until_complete(sleep()) == 3600


def test_a_killed_process_runs_no_clean_up():
    loop = VirtualLoop.new()
    said: list[str] = []

    async def live() -> None:
        try:
            await asyncio.sleep(1)
            said.append("lived")
        finally:
            said.append("cleaned up")

    async def world() -> None:
        process = Process("victim")
        process.spawn(live())
        await asyncio.sleep(0.5)
        process.halted = True
        await asyncio.sleep(10)
        assert said == []
        process.go_on(loop)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop.run_until_complete(world())
    assert said == ["lived", "cleaned up"]


def test_a_process_dies_after_so_many_steps():
    loop = VirtualLoop.new()
    steps: list[int] = []

    async def step() -> None:
        for number in range(10):
            steps.append(number)
            await asyncio.sleep(0)

    async def world() -> None:
        process = Process("victim")
        process.fuse = 3

        def die() -> None:
            process.halted = True

        process.on_fuse = die
        process.spawn(step())
        await asyncio.sleep(1)
        process.go_on(loop)

    loop.run_until_complete(world())
    assert steps == [0, 1, 2]


def test_who_waits_for_nothing_is_found():
    loop = VirtualLoop.new()

    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(StuckError, match="nothing is due"):
        loop.run_until_complete(wait())
    loop.close()


def test_who_runs_in_a_circle_is_found():
    loop = VirtualLoop.new()

    async def spin() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)  # the fault that is looked for

    with pytest.raises(StuckError, match="no time passes"):
        loop.run_until_complete(spin())
    loop.close()
