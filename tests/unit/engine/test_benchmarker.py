"""Benchmarks run while the engine is idle, and give way to work."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from distconv.core.clock import SystemClock
from distconv.core.engine import TranscoderInfo
from distconv.core.errors import EncodeFailedError
from distconv.engine.benchmarker import Benchmarker


class FakeTranscoder:
    """A tool whose measurements the test ends."""

    codecs = ("h264", "av1")
    info = TranscoderInfo(name="ffmpeg", version="7", build_id="build")

    def __init__(self) -> None:
        self.begun: asyncio.Queue[tuple[str, int, float]] = asyncio.Queue()
        self.answers: asyncio.Queue[float | Exception] = asyncio.Queue()
        self.abandoned = asyncio.Event()

    async def benchmark(self, codec: str, height: int, *, budget_s: float) -> float:
        self.begun.put_nowait((codec, height, budget_s))
        try:
            answer = await self.answers.get()
        except asyncio.CancelledError:
            self.abandoned.set()
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeSupervisor:
    """An engine that is busy when the test says so."""

    def __init__(self) -> None:
        self.busy = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()

    def work(self) -> None:
        self.busy.set()
        self.idle.clear()

    def rest(self) -> None:
        self.busy.clear()
        self.idle.set()

    async def wait_busy(self) -> None:
        await self.busy.wait()

    async def wait_idle(self, span_s: float) -> None:
        await self.idle.wait()


class World:
    def __init__(self, budget_s: float = 60) -> None:
        self.tool, self.supervisor, self.found = FakeTranscoder(), FakeSupervisor(), asyncio.Event()
        self.benchmarker = Benchmarker(
            self.tool,  # type: ignore[arg-type]
            self.supervisor,  # type: ignore[arg-type]
            clock=SystemClock(),
            budget_s=budget_s,
            on_result=self.found.set,
        )

    async def begun(self) -> tuple[str, int, float]:
        async with asyncio.timeout(5):
            return await self.tool.begun.get()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    task = asyncio.create_task(world.benchmarker.run())
    yield world
    task.cancel()
    await asyncio.wait([task])


async def test_every_codec_is_measured_at_every_height_within_the_budget(world):
    world.benchmarker.request([], [])
    for answer in range(8):
        world.tool.answers.put_nowait(float(answer + 1))
    begun = [await world.begun() for _ in range(8)]
    assert [(c, h) for c, h, _ in begun] == [
        (codec, height) for height in (480, 720, 1080, 2160) for codec in ("h264", "av1")
    ]
    assert sum(budget for _, _, budget in begun) == pytest.approx(60)


async def test_what_was_found_is_taken_once_with_the_build(world):
    world.benchmarker.request(["h264", "mpeg1"], [720])
    world.tool.answers.put_nowait(61.5)
    async with asyncio.timeout(5):
        await world.found.wait()
    [speed] = world.benchmarker.take_results()
    assert (speed.codec, speed.height, speed.fps, speed.build_id) == ("h264", 720, 61.5, "build")
    assert world.benchmarker.take_results() == []


async def test_work_interrupts_and_the_measurement_is_made_anew(world):
    world.benchmarker.request(["av1"], [480])
    await world.begun()
    world.supervisor.work()
    async with asyncio.timeout(5):
        await world.tool.abandoned.wait()
    assert world.tool.begun.empty()
    world.supervisor.rest()
    assert (await world.begun())[:2] == ("av1", 480)


async def test_one_that_fails_or_tells_nothing_is_passed_over(world):
    world.benchmarker.request(["h264"], [480, 720, 1080])
    for answer in (EncodeFailedError("no such encoder"), 0.0, 9.0):
        world.tool.answers.put_nowait(answer)
    async with asyncio.timeout(5):
        await world.found.wait()
    assert [speed.height for speed in world.benchmarker.take_results()] == [1080]


async def test_a_later_request_replaces_what_is_left(world):
    world.benchmarker.request(["h264"], [480, 720])
    await world.begun()
    world.benchmarker.request(["av1"], [1080])
    world.tool.answers.put_nowait(1.0)
    assert (await world.begun())[:2] == ("av1", 1080)


async def test_a_budget_of_nothing_measures_nothing():
    world = World(budget_s=0)
    world.benchmarker.request([], [])
    task = asyncio.create_task(world.benchmarker.run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert world.tool.begun.empty()
    task.cancel()
    await asyncio.wait([task])
