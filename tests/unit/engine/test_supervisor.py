"""The supervisor with runners that do as the test says."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from distconv.core.attempt import AttemptPhase, Probed
from distconv.core.errors import EncodeFailedError
from distconv.core.media import MediaInfo
from distconv.core.progress import JobProgress
from distconv.engine import wire
from distconv.engine.scratch import Scratch
from distconv.engine.supervisor import Supervisor
from distconv.engine.work import AttemptReport, AttemptResult, LogLines, Said
from distconv.media.child import Exit

MEDIA = MediaInfo(container="mov", size_bytes=1, duration_s=None, bit_rate=0, streams=())


class FakeRunner:
    """A runner whose words and end the test decides."""

    pid = 4711

    def __init__(self) -> None:
        self.words: asyncio.Queue[Said | None] = asyncio.Queue()
        self.assigned: list[tuple[bytes, str]] = []
        self.stopped = asyncio.Event()
        self.exit_code = 0

    def assign(self, payload: bytes, dispatch_address: str) -> None:
        self.assigned.append((payload, dispatch_address))

    async def said(self) -> AsyncIterator[Said]:
        while (word := await self.words.get()) is not None:
            yield word

    async def wait(self) -> Exit:
        return Exit(code=self.exit_code, cpu_time_s=0, peak_memory_bytes=0)

    async def stop(self, grace_s: float) -> Exit:
        self.stopped.set()
        self.words.put_nowait(None)
        return await self.wait()


class FakePool:
    def __init__(self) -> None:
        self.runners: list[FakeRunner] = []
        self.broken = False
        self.closed = False
        self.back_count = 0

    def take(self) -> FakeRunner:
        if self.broken:
            raise EncodeFailedError("no process can be started")
        self.runners.append(FakeRunner())
        return self.runners[-1]

    def give_back(self) -> None:
        self.back_count += 1

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def pool() -> FakePool:
    return FakePool()


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    made = Scratch(tmp_path, quota_bytes=1000)
    made.open()
    yield made
    made.close()


@pytest.fixture
def supervisor(pool: FakePool, scratch: Scratch) -> Supervisor:
    return Supervisor(pool, slots=1, cancel_grace_s=1, scratch=scratch)  # type: ignore[arg-type]


def assign(
    supervisor: Supervisor, name: str = "a", token: int = 1, *, scratch_bytes: int = 0
) -> str:
    return supervisor.assign(
        attempt=name,
        fencing_token=token,
        payload=b"work",
        dispatch_address="here:1",
        scratch_bytes=scratch_bytes,
    )


async def until(supervisor: Supervisor, condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            supervisor.changed.clear()
            await supervisor.changed.wait()


def outcome(supervisor: Supervisor) -> str | None:
    [result] = supervisor.unacknowledged()
    return wire.unseal(result).WhichOneof("outcome")


async def finish(runner: FakeRunner) -> None:
    done = AttemptResult(attempt="a", fencing_token=1, outcome=Probed(media=MEDIA))
    runner.words.put_nowait(wire.sealed(done))
    runner.words.put_nowait(None)


async def test_a_result_is_kept_until_it_is_acknowledged(supervisor, pool):
    assert assign(supervisor) == ""
    assert pool.runners[0].assigned == [(b"work", "here:1")]
    await finish(pool.runners[0])
    await until(supervisor, supervisor.unacknowledged)
    assert outcome(supervisor) == "probe"
    assert [r.phase for r in supervisor.reports()] == [AttemptPhase.ENDED]
    supervisor.acknowledge("a", 2)  # not its token
    assert supervisor.unacknowledged()
    supervisor.acknowledge("a", 1)
    assert not supervisor.unacknowledged()
    assert not supervisor.reports()


async def test_an_ended_attempt_frees_its_slot_before_it_is_acknowledged(supervisor, pool):
    assign(supervisor)
    assert "busy" in assign(supervisor, "b")
    await finish(pool.runners[0])
    await until(supervisor, supervisor.unacknowledged)
    assert assign(supervisor, "b") == ""


async def test_the_same_assignment_again_begins_nothing(supervisor, pool):
    assert assign(supervisor) == ""
    assert assign(supervisor) == ""
    assert len(pool.runners) == 1


async def test_progress_and_logs_are_told(supervisor, pool):
    assign(supervisor)
    report = AttemptReport(
        attempt="a",
        fencing_token=1,
        phase=AttemptPhase.ENCODING,
        progress=JobProgress(frame_count=7),
    )
    pool.runners[0].words.put_nowait(report)
    pool.runners[0].words.put_nowait(LogLines(attempt="a", lines=("odd",)))
    await until(supervisor, lambda: supervisor.reports() == [report])
    taken: list[LogLines] = []

    def told() -> bool:
        taken.extend(supervisor.take_logs())
        return bool(taken)

    await until(supervisor, told)
    assert [log.lines for log in taken] == [("odd",)]
    assert supervisor.take_logs() == []


async def test_a_runner_that_dies_is_one_failed_attempt(supervisor, pool):
    assign(supervisor)
    pool.runners[0].exit_code = -9
    pool.runners[0].words.put_nowait(None)
    await until(supervisor, supervisor.unacknowledged)
    failure = wire.unseal(supervisor.unacknowledged()[0]).failure
    assert (failure.reason, failure.retryable, failure.exit_code) == ("RUNNER_DIED", True, -9)
    assert "signal 9" in failure.message


async def test_a_cancelled_attempt_says_so(supervisor, pool):
    assign(supervisor)
    supervisor.cancel("a", 9)  # an old assignment's word
    assert not pool.runners[0].stopped.is_set()
    supervisor.cancel("a", 1)
    await until(supervisor, supervisor.unacknowledged)
    assert outcome(supervisor) == "cancelled"
    assert pool.back_count == 1


async def test_a_stale_attempt_is_stopped_and_nothing_is_said_of_it(supervisor, pool):
    assign(supervisor)
    supervisor.drop_stale(["a", "unknown"])
    await until(supervisor, lambda: not supervisor.reports())
    assert pool.runners[0].stopped.is_set()
    assert not supervisor.unacknowledged()


async def test_shutting_down_gives_back_what_runs_and_takes_nothing(supervisor, pool):
    assign(supervisor)
    await supervisor.shut_down()
    assert outcome(supervisor) == "returned"
    assert pool.closed
    assert "shutting down" in assign(supervisor, "b")


async def test_shutting_down_keeps_a_result_that_was_reached(supervisor, pool):
    assign(supervisor)
    await finish(pool.runners[0])
    await until(supervisor, supervisor.unacknowledged)
    await supervisor.shut_down()
    assert outcome(supervisor) == "probe"


async def test_no_runner_is_a_refusal_with_its_reason(supervisor, pool):
    pool.broken = True
    assert "no process" in assign(supervisor)
    assert not supervisor.reports()


async def test_waiting_for_acknowledgements_ends_with_the_last(supervisor, pool):
    assign(supervisor)
    await finish(pool.runners[0])
    await until(supervisor, supervisor.unacknowledged)
    waiting = asyncio.create_task(supervisor.wait_acknowledged())
    await asyncio.sleep(0)
    assert not waiting.done()
    supervisor.acknowledge("a", 1)
    async with asyncio.timeout(5):
        await waiting


async def test_idle_and_busy_are_told(supervisor, pool):
    async with asyncio.timeout(5):
        await supervisor.wait_idle(0)
        assign(supervisor)
        await supervisor.wait_busy()
        idle = asyncio.create_task(supervisor.wait_idle(0))
        await finish(pool.runners[0])
        await idle


async def test_what_does_not_fit_the_scratch_disk_is_refused(supervisor, pool):
    assert "of the 1000" in assign(supervisor, scratch_bytes=1001)
    assert not pool.runners
    assert supervisor.reports() == []


async def test_scratch_disk_is_given_back_with_the_result(supervisor, pool, scratch):
    assert assign(supervisor, scratch_bytes=900) == ""
    assert scratch.free_bytes == 100
    await finish(pool.runners[0])
    await until(supervisor, supervisor.unacknowledged)
    assert scratch.free_bytes == 1000


async def test_a_runner_that_cannot_be_started_keeps_no_scratch_disk(supervisor, pool, scratch):
    pool.broken = True
    assert assign(supervisor, scratch_bytes=900)
    assert scratch.free_bytes == 1000
