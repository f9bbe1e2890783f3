"""The real scheduler, leases and sessions on the memory store, driven step by step."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from tests.unit.core.test_work_and_speeds import media

from distconv.core.attempt import Transcoded
from distconv.core.attempt_states import AttemptState
from distconv.core.engine import EngineCapabilities, EngineMetrics, EngineState, TranscoderInfo
from distconv.core.failure import Failure
from distconv.core.ids import new_id
from distconv.core.media import MediaCensus
from distconv.core.names import AttemptRef
from distconv.core.profiles import load_catalogue
from distconv.core.states import JobState
from distconv.dispatch.app import Dispatch
from distconv.dispatch.changes.change import Change
from distconv.dispatch.lifecycle.plan import plan, with_media
from distconv.dispatch.sessions.messages import (
    AttemptResult,
    BenchmarkReport,
    BenchmarkResult,
    Heartbeat,
    Hello,
)
from distconv.dispatch.sessions.session import EngineSession
from distconv.dispatch.settings import DispatchSettings
from distconv.dispatch.store.memory import MemoryStore
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import AttemptRecord, JobRecord
from distconv.dispatch.testing import FakeObjects, ManualClock
from distconv.rpc.tokens import KEY_BYTES, MediaTokens

PROFILE = load_catalogue().get("h264-480p")
CENSUS = MediaCensus(container="mp4", read_bytes=1, streams=(), complete=True)
BROKEN = Failure(reason="ENCODE_FAILED", message="no output", retryable=True)
CAPABILITIES = EngineCapabilities(
    transcoders=(
        TranscoderInfo(
            name="ffmpeg",
            version="9",
            build_id="b1",
            encoders=("libx264", "aac"),
            muxers=("mp4",),
        ),
    )
)


class World:
    """Dispatch without servers; time moves when the test says so."""

    def __init__(self, *, store: Store | None = None, **settings: object) -> None:
        self.clock = ManualClock()
        self.store = store or MemoryStore()
        self.objects = FakeObjects()
        self._noise = count(1)
        self.dispatch = Dispatch(
            DispatchSettings.model_validate(settings),
            store=self.store,
            objects=self.objects,
            tokens=MediaTokens(b"k" * KEY_BYTES, self.clock),
            catalogue=load_catalogue(),
            clock=self.clock,
            make_id=lambda now: new_id(now, randomness=next(self._noise)),
            randomness=lambda: 0.0,
        )

    async def job(self, tenant: str = "local", **fields: object) -> str:
        """Create a job whose source is known, so that it is one task."""

        async def make(change: Change) -> str:
            job = JobRecord(
                id=change.new_id(),
                tenant=tenant,
                creator="u",
                state=JobState.PENDING,
                source_object_id="o",
                source_file_name="f",
                source_size_bytes=1000,
                profile_name=PROFILE.name,
                profile=PROFILE,
                max_retries=2,
                create_time=change.now,
                update_time=change.now,
            )
            job = with_media(replace(job, **fields), media())  # type: ignore[arg-type]
            await change.add_job(job, plan(job, new_id=change.new_id))
            return job.id

        return await self.dispatch.changes.make(make)

    async def engine(
        self,
        slots: int = 1,
        engine_id: str = "",
        capabilities: EngineCapabilities = CAPABILITIES,
    ) -> EngineSession:
        hello = Hello(
            engine_id=engine_id or new_id(self.clock.now(), randomness=next(self._noise)),
            display_name="box",
            version="1",
            capabilities=capabilities,
            slot_count=slots,
        )
        return await self.dispatch.hub.open("local", hello)

    async def assigned(self, session: EngineSession) -> list[AttemptRecord]:
        """Let the scheduler run; return what the engine has now."""
        await self.dispatch.scheduler.run()
        while not session._out.empty():
            session._out.get_nowait()  # the engine reads its messages
        found = [await self.store.get_attempt(attempt_id) for attempt_id in session.held]
        return [attempt for attempt in found if attempt is not None]

    async def end(self, attempt: AttemptRecord, failure: Failure | None = None) -> None:
        done = Transcoded(
            object_id=attempt.object_id,
            size_bytes=1,
            sha256="",
            source_census=CENSUS,
            output_census=CENSUS,
            media=media(),
        )
        assert await self.dispatch.concluding.conclude(
            attempt.id,
            engine_id=attempt.engine_id,
            fencing_token=attempt.fencing_token,
            outcome=failure or done,
        )

    async def reprioritise(self, job_id: str, *, priority: int) -> None:
        """Change the priority of a job's tasks."""

        async def make(change: Change) -> None:
            for task in await change.tx.list_tasks(job_id):
                await change.reprioritise(task, priority=priority, deadline=task.deadline)

        await self.dispatch.changes.make(make)

    async def refresh(self) -> None:
        """Have the sessions follow their engines' records."""
        await self.dispatch.engine_follower.run()


async def served(world: World, session: EngineSession, number: int) -> list[str]:
    """Complete so many tasks; return their tenants in the order of their assignment."""
    tenants: list[str] = []
    while len(tenants) < number:
        attempts = await world.assigned(session)
        assert attempts
        for attempt in attempts:
            tenants.append(attempt.tenant)
            await world.end(attempt)
    return tenants


async def test_tenants_share_by_weight_under_saturation() -> None:
    world = World(tenant_weights=["one=1", "two=2", "four=4"])
    for tenant in ("four", "one", "two"):
        for _ in range(170):
            await world.job(tenant)
    session = await world.engine(slots=4)
    shares = Counter(await served(world, session, 280))
    for tenant, weight in (("one", 1), ("two", 2), ("four", 4)):
        assert abs(shares[tenant] / 280 - weight / 7) <= 0.05 * weight / 7


async def test_a_newcomer_behind_a_backlog_is_next() -> None:
    world = World()
    for _ in range(500):
        await world.job("hoarder")
    session = await world.engine()
    await served(world, session, 5)
    await world.job("newcomer")
    assert "newcomer" in await served(world, session, 2)


async def test_a_deadline_overtakes_when_it_nears() -> None:
    world = World()
    for _ in range(10):
        await world.job(priority=20)
    deadline = world.clock.now() + timedelta(hours=30)
    dated = await world.job(deadline=deadline)
    session = await world.engine()
    (attempt,) = await world.assigned(session)
    assert attempt.job_id != dated
    world.clock.advance(timedelta(hours=7))
    await world.end(attempt)
    await world.dispatch.promoter.run()
    (attempt,) = await world.assigned(session)
    assert attempt.job_id == dated


async def test_old_work_is_not_starved_by_what_comes_in_above_it() -> None:
    world = World()
    old = await world.job(priority=0)
    session = await world.engine()
    waited = 0
    while True:
        await world.job(priority=5)
        (attempt,) = await world.assigned(session)
        if attempt.job_id == old:
            break
        await world.end(attempt)
        world.clock.advance(timedelta(minutes=5))
        waited += 5
    assert 50 <= waited <= 60


async def test_a_black_hole_is_quarantined_and_let_out_on_probation() -> None:
    world = World(hold_max_s=0)
    hole, good = await world.engine(), await world.engine()
    for _ in range(3):
        world.clock.advance(timedelta(minutes=11))  # any cooldown is over
        good.draining = True
        await world.job()
        (attempt,) = await world.assigned(hole)
        await world.end(attempt, BROKEN)
        world.clock.advance(timedelta(minutes=1))
        retries = await world.store.list_due_retries(world.clock.now(), limit=10)
        for task in retries:
            await world.dispatch.concluding.resume_task(task.id)
        good.draining = False
        (attempt,) = await world.assigned(good)
        assert "an attempt failed elsewhere" in attempt.decision
        await world.end(attempt)
    record = await world.store.get_engine(hole.engine.id)
    assert record is not None
    assert record.state is EngineState.QUARANTINED
    assert "it failed 3 tasks that others completed" in record.quarantine_reason
    await world.refresh()
    good.draining = True
    await world.job()
    await world.job()
    assert not await world.assigned(hole)
    world.clock.advance(timedelta(minutes=11))
    (attempt,) = await world.assigned(hole)  # one alone: it is on probation
    await world.end(attempt)
    record = await world.store.get_engine(hole.engine.id)
    assert record is not None
    assert (record.state, record.quarantine_time) == (EngineState.ONLINE, None)


async def test_a_poison_job_does_not_go_round_for_ever() -> None:
    world = World(max_lost_leases=2)
    job_id = await world.job(max_retries=0)
    for lost in range(3):
        session = await world.engine()
        (attempt,) = await world.assigned(session)
        world.clock.advance(timedelta(minutes=1))
        assert await world.dispatch.leasing.expire(attempt.id)
        job = await world.store.get_job(job_id)
        assert job is not None
        assert job.state is (JobState.FAILED if lost == 2 else JobState.PENDING)
        world.dispatch.hub._sessions.clear()
    assert job is not None
    assert job.error is not None
    assert "3 leases were lost on this task" in job.error.message


async def test_without_budget_a_retry_waits_as_long_as_may_be() -> None:
    world = World(retry_budget=1, retry_budget_per_s=0)
    session = await world.engine(slots=2)
    for _ in range(2):
        await world.job()
    for attempt in await world.assigned(session):
        await world.end(attempt, BROKEN)
    times = sorted(
        (task.retry_time - world.clock.now()).total_seconds()
        for task in await world.store.list_due_retries(
            world.clock.now() + timedelta(days=1), limit=10
        )
        if task.retry_time is not None
    )
    assert times == [2.0, 300.0]


async def test_history_and_benchmarks_make_estimates() -> None:
    world = World()
    session = await world.engine()
    await world.job()
    (attempt,) = await world.assigned(session)
    assert attempt.estimate is None
    world.clock.advance(timedelta(seconds=10))
    await world.end(attempt)
    await world.job()
    (attempt,) = await world.assigned(session)
    assert attempt.estimate == pytest.approx(timedelta(seconds=10), abs=timedelta(seconds=0.1))
    assert attempt.decision.endswith(
        "about 10 s by its own history; streaming: nothing keeps 'matroska' from a pipe, and "
        "the encode overlaps its transfer"
    )
    again = await world.engine(engine_id=session.engine.id)
    assert again.speeds.samples == session.speeds.samples


async def test_an_idle_engine_is_asked_for_what_was_not_measured_of_its_build() -> None:
    world = World(benchmark_idle_s=60)
    session = await world.engine()
    benchmarks = world.dispatch.benchmarks
    due = await benchmarks.run()
    assert due == world.clock.now() + timedelta(seconds=60)
    world.clock.advance(timedelta(seconds=60))
    await benchmarks.run()
    sent = [session._out.get_nowait() for _ in range(session._out.qsize())]
    assert [getattr(message, "codecs", None) for message in sent] == [None, ("h264",)]
    result = BenchmarkResult(codec="h264", height=480, fps=100.0, build_id="b1")
    await world.dispatch.book.keep(session, BenchmarkReport(results=[result]))
    assert ("h264", 480) in session.measured
    again = await world.engine(engine_id=session.engine.id)
    assert again.measured == {("h264", 480)}


async def test_a_task_taken_back_keeps_its_rank_and_is_not_charged_again() -> None:
    world = World()
    job_id = await world.job()
    session = await world.engine()
    (attempt,) = await world.assigned(session)
    (before,) = await world.store.list_tasks(job_id)
    (account,) = await world.store.list_accounts()
    world.clock.advance(timedelta(minutes=1))
    assert await world.dispatch.leasing.expire(attempt.id)
    (after,) = await world.store.list_tasks(job_id)
    assert (after.rank, after.cost, after.lost_count) == (before.rank, before.cost, 1)
    assert list(await world.store.list_accounts()) == [account]
    assert (await world.store.list_attempts(job_id))[0].state is AttemptState.LOST


async def test_what_is_cancelled_before_it_ran_is_given_back() -> None:
    world = World()
    first = await world.job()
    (before,) = await world.store.list_accounts()
    second = await world.job()
    await world.dispatch.concluding.cancel(second, by="u")
    (after,) = await world.store.list_accounts()
    assert after.finish_rank == pytest.approx(before.finish_rank)
    assert first != second


async def test_an_engines_own_work_is_not_taken_for_somebody_elses() -> None:
    """A heartbeat's load is of the time since the one before: it counts when both were idle."""
    world = World()
    session = await world.engine()
    busy, quiet = EngineMetrics(cpu_fraction=0.9), EngineMetrics(cpu_fraction=0.1)
    session.note_metrics(quiet)
    assert session.foreign_load == pytest.approx(0.1)
    await world.job()
    (attempt,) = await world.assigned(session)
    session.note_metrics(busy)
    await world.end(attempt)
    session.drop(attempt.id)
    session.note_metrics(busy)  # of a time in which ours ran still
    assert session.foreign_load == pytest.approx(0.1)
    session.note_metrics(busy)
    assert session.foreign_load == pytest.approx(0.9)


async def test_a_slot_comes_free_though_nobody_told_that_its_attempt_had_ended() -> None:
    """The commit of a result whose answer was lost: the same result again finds it concluded."""
    store = MemoryStore()
    world, other = World(store=store), World(store=store)
    await world.job()
    session = await world.engine()
    (attempt,) = await world.assigned(session)
    failed = AttemptResult(
        ref=AttemptRef(job=attempt.job_id, task=attempt.task_id, attempt=attempt.id),
        fencing_token=attempt.fencing_token,
        outcome=BROKEN,
    )
    await other.end(attempt, BROKEN)
    assert session.free_slot_count == 0
    results = world.dispatch.sessions._messages._results
    await results._conclude(session, failed)
    assert session.free_slot_count == 1


async def test_a_slot_comes_free_of_what_never_came_and_was_taken_back_without_a_word() -> None:
    store = MemoryStore()
    world, other = World(store=store), World(store=store)
    await world.job()
    session = await world.engine()
    (attempt,) = await world.assigned(session)
    lease = world.dispatch.leasing.lease_duration
    other.clock.advance(lease + timedelta(seconds=1))
    assert await other.dispatch.leasing.expire(attempt.id)
    for passed, free in ((lease, 0), (lease + timedelta(seconds=1), 1)):
        world.clock.advance(passed)
        await world.dispatch.sessions._messages.take(session, Heartbeat())
        assert session.free_slot_count == free
