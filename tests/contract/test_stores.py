"""One suite for every store: what the port promises, on each adapter."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from distconv.core.attempt_states import AttemptState
from distconv.core.engine import EngineCapabilities, EngineMetrics, EngineState, TranscoderInfo
from distconv.core.errors import AlreadyExistsError
from distconv.core.failure import Failure
from distconv.core.ids import new_id
from distconv.core.media import (
    Chapter,
    ContentLight,
    MasteringDisplay,
    MediaCensus,
    MediaInfo,
    StreamCensus,
    StreamInfo,
    StreamKind,
)
from distconv.core.profiles import load_catalogue
from distconv.core.progress import JobProgress
from distconv.core.report import Note, NoteSeverity
from distconv.core.states import JobState
from distconv.core.task_states import TaskKind, TaskState
from distconv.dispatch.store.memory import MemoryStore
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.queries import EngineQuery, JobQuery, Order
from distconv.dispatch.store.records import (
    AttemptRecord,
    EngineRecord,
    GarbageRecord,
    JobOutput,
    JobRecord,
    OutboxRecord,
    RequestRecord,
    TaskRecord,
    TransitionRecord,
)
from distconv.dispatch.store.sql import SqlStore

NOW = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
PROFILE = load_catalogue().get("h264-720p")

MEDIA = MediaInfo(
    container="matroska",
    size_bytes=10,
    duration_s=1.5,
    bit_rate=100,
    streams=(
        StreamInfo(
            index=0,
            kind=StreamKind.VIDEO,
            codec="hevc",
            mastering_display=MasteringDisplay(
                red=(0.7, 0.3),
                green=(0.2, 0.7),
                blue=(0.1, 0.05),
                white_point=(0.3127, 0.329),
                min_luminance=0.0001,
                max_luminance=1000,
            ),
            content_light=ContentLight(max_content=1000, max_frame_average=400),
        ),
    ),
    chapters=(Chapter(start_time_s=0, end_time_s=1, title="один"),),
    tags={"title": "ü"},
    warnings=("odd",),
)
OUTPUT = JobOutput(
    object_id="0000000000000009",
    size_bytes=5,
    sha256="ab" * 32,
    media=MEDIA,
    census=MediaCensus(
        container="mp4",
        read_bytes=5,
        streams=(
            StreamCensus(
                index=0,
                kind=StreamKind.VIDEO,
                codec="h264",
                packet_count=3,
                packet_bytes=4,
                first_time_s=0.0,
                end_time_s=None,
            ),
        ),
        complete=True,
    ),
    notes=(Note(severity=NoteSeverity.LOST, message="a font", stream_index=3),),
)
FAILURE = Failure(
    reason="ENCODE_FAILED",
    message="it broke",
    retryable=True,
    argv=("ffmpeg", "-i"),
    exit_code=-9,
    stderr_tail=("a", "b"),
)


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store
    if request.param == "memory":
        made = MemoryStore()
    else:
        made = await SqlStore.open_sqlite(tmp_path / "dispatch.db")
    yield made
    await made.close()


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def ident(seconds: float, noise: int = 0) -> str:
    return new_id(at(seconds), randomness=noise)


def job(seconds: float = 0, **more: object) -> JobRecord:
    plain = JobRecord(
        id=ident(seconds),
        tenant="local",
        creator="someone",
        state=JobState.PENDING,
        source_object_id=ident(seconds, 1),
        source_file_name="clip.mkv",
        source_size_bytes=1 << 40,
        profile_name=PROFILE.name,
        profile=PROFILE,
        max_retries=2,
        create_time=at(seconds),
        update_time=at(seconds),
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def task(of: JobRecord, ordinal: int = 0, **more: object) -> TaskRecord:
    plain = TaskRecord(
        id=of.id[:-1] + str(ordinal + 2),
        tenant=of.tenant,
        job_id=of.id,
        ordinal=ordinal,
        kind=TaskKind.PROBE,
        state=TaskState.READY,
        priority=of.priority,
        urgency=of.priority,
        create_time=of.create_time,
        update_time=of.create_time,
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def attempt(of: TaskRecord, token: int = 1, **more: object) -> AttemptRecord:
    plain = AttemptRecord(
        id=ident(token, 100 + token),
        tenant=of.tenant,
        job_id=of.job_id,
        task_id=of.id,
        engine_id="000000000000000e",
        state=AttemptState.ASSIGNED,
        fencing_token=token,
        lease_expire_time=at(20),
        create_time=at(token),
        decision="the one engine",
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def engine(name: str = "000000000000000e", **more: object) -> EngineRecord:
    plain = EngineRecord(
        id=name,
        tenant="local",
        display_name="box",
        state=EngineState.ONLINE,
        version="0.1.0",
        capabilities=EngineCapabilities(
            transcoders=(
                TranscoderInfo(name="ffmpeg", version="9", build_id="b", encoders=("libx264",)),
            ),
            tags=("gpu",),
            cpu_count=4,
        ),
        slot_count=2,
        session_id=ident(0, 50),
        metrics=EngineMetrics(cpu_fraction=0.5),
        create_time=NOW,
        connect_time=NOW,
        heartbeat_time=NOW,
    )
    return replace(plain, **more)  # type: ignore[arg-type]


async def put(
    store: Store, *records: JobRecord | TaskRecord | AttemptRecord | EngineRecord
) -> None:
    async with store.transaction() as tx:
        for record in records:
            match record:
                case JobRecord():
                    await tx.add_job(record)
                case TaskRecord():
                    await tx.add_task(record)
                case AttemptRecord():
                    await tx.add_attempt(record)
                case EngineRecord():
                    await tx.put_engine(record)


async def test_a_job_comes_back_as_it_went(store: Store) -> None:
    full = job(
        state=JobState.RETRYING,
        source_media=MEDIA,
        priority=-7,
        deadline=at(100),
        ttl=timedelta(days=3, microseconds=5),
        expire_time=at(3600),
        labels={"a": "1", "b": "ü"},
        start_time=at(1),
        end_time=at(2),
        retry_time=at(3),
        engine_id="000000000000000e",
        retry_count=1,
        error=FAILURE,
        output=OUTPUT,
        progress=JobProgress(fraction=0.5, out_time=timedelta(seconds=1.5), update_time=at(1)),
    )
    await put(store, full)
    assert await store.get_job(full.id) == full
    assert await store.get_job("nothing") is None


async def test_tasks_attempts_and_engines_come_back_as_they_went(store: Store) -> None:
    of = job()
    first = task(of)
    second = task(
        of,
        1,
        kind=TaskKind.TRANSCODE,
        state=TaskState.BLOCKED,
        depends_on=(first.id,),
        requirement="encoder=libx264 muxer=mp4",
        preferred_engine_id="000000000000000e",
        avoided_engine_ids=("000000000000000f",),
        retry_time=at(5),
    )
    tried = attempt(
        first,
        state=AttemptState.FAILED,
        lease_expire_time=None,
        object_id=ident(9),
        start_time=at(1),
        end_time=at(2),
        error=FAILURE,
        log_excerpt=("line",),
    )
    await put(store, of, first, second, tried, engine())
    assert list(await store.list_tasks(of.id)) == [first, second]
    assert list(await store.list_attempts(of.id)) == [tried]
    assert await store.get_attempt(tried.id) == tried
    assert await store.get_attempt_of_object("local", tried.object_id) == tried
    assert await store.get_attempt_of_object("other", tried.object_id) is None
    assert await store.get_engine(engine().id) == engine()


async def test_what_raises_is_undone(store: Store) -> None:
    kept, gone = job(0), job(1)
    await put(store, kept)

    async def fail() -> None:
        async with store.transaction() as tx:
            await tx.add_job(gone)
            await tx.save_job(replace(kept, priority=9))
            await tx.put_engine(engine())
            await tx.add_event(
                OutboxRecord(tenant="local", type="t", subject="s", payload={}, time=NOW)
            )
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await store.get_job(gone.id) is None
    assert await store.get_job(kept.id) == kept
    assert await store.get_engine(engine().id) is None
    assert not await store.list_events(limit=10)


async def test_changes_of_two_wait_for_one_another(store: Store) -> None:
    await put(store, job())

    async def count_up() -> None:
        async with store.transaction() as tx:
            found = await tx.get_job(job().id)
            assert found is not None
            await asyncio.sleep(0)
            await tx.save_job(replace(found, retry_count=found.retry_count + 1))

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(count_up())
    found = await store.get_job(job().id)
    assert found is not None
    assert found.retry_count == 20


async def test_a_cancelled_change_leaves_nothing_behind(store: Store) -> None:
    await put(store, job())

    async def change(started: asyncio.Event) -> None:
        async with store.transaction() as tx:
            started.set()
            for priority in range(1000):
                await tx.save_job(job(priority=priority))

    for turns in range(12):
        started = asyncio.Event()
        running = asyncio.create_task(change(started))
        if turns:
            await started.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    async with asyncio.timeout(4), store.transaction() as tx:
        await tx.save_job(job(priority=77))
    found = await store.get_job(job().id)
    assert found is not None
    assert found.priority == 77


async def test_the_same_id_twice_is_refused(store: Store) -> None:
    await put(store, job())
    with pytest.raises(AlreadyExistsError):
        await put(store, job())


async def test_a_saved_job_is_changed_where_it_changed(store: Store) -> None:
    await put(store, job(labels={"a": "b"}))
    async with store.transaction() as tx:
        found = await tx.get_job(job().id)
        assert found is not None
        once = replace(found, state=JobState.ASSIGNED, version=2, source_media=MEDIA)
        await tx.save_job(once)
        again = await tx.get_job(job().id)
        assert again == once
        await tx.save_job(replace(once, error=FAILURE))
    assert await store.get_job(job().id) == replace(once, error=FAILURE)


async def test_prefixes_are_the_tenants_own(store: Store) -> None:
    mine, other = job(0), job(0.001)
    foreign = job(0.002, tenant="else")
    await put(store, mine, other, foreign)
    assert [j.id for j in await store.find_jobs("local", mine.id[:6])] == [mine.id, other.id]
    assert [j.id for j in await store.find_jobs("local", mine.id)] == [mine.id]
    assert not await store.find_jobs("local", foreign.id)
    await put(store, engine("0000000000000001"), engine("0000000000000002"))
    assert len(await store.find_engines("local", "0")) == 2
    assert len(await store.find_engines("local", "0000000000000002")) == 1
    assert not await store.find_engines("else", "0")


async def test_jobs_are_listed_by_page_state_and_profile(store: Store) -> None:
    states = [JobState.PENDING, JobState.FAILED] * 3
    jobs = [job(k, state=state) for k, state in enumerate(states)]
    deleted = job(10, state=JobState.FAILED, delete_time=NOW)
    await put(store, *jobs, deleted, job(11, tenant="else"), job(12, profile_name="other"))
    everything = JobQuery(tenant="local", profile_name=PROFILE.name, limit=4)
    page = await store.list_jobs(everything)
    assert [j.id for j in page] == [j.id for j in reversed(jobs[2:])]
    rest = await store.list_jobs(replace(everything, after=page[-1].id))
    assert [j.id for j in rest] == [jobs[1].id, jobs[0].id]
    oldest = await store.list_jobs(replace(everything, order=Order.OLDEST_FIRST, after=jobs[0].id))
    assert [j.id for j in oldest] == [j.id for j in jobs[1:5]]
    failed = replace(everything, states=frozenset({JobState.FAILED}))
    assert [j.id for j in await store.list_jobs(failed)] == [jobs[5].id, jobs[3].id, jobs[1].id]
    assert await store.count_jobs(failed) == 3
    assert await store.count_jobs(JobQuery(tenant="local", limit=1)) == 7


async def test_engines_are_listed_and_counted(store: Store) -> None:
    await put(store, *(engine(f"000000000000000{k}") for k in range(3)))
    await put(store, engine("000000000000000a", state=EngineState.OFFLINE))
    query = EngineQuery(tenant="local", limit=2)
    page = await store.list_engines(query)
    assert [e.id[-1] for e in page] == ["0", "1"]
    rest = await store.list_engines(replace(query, after=page[-1].id))
    assert [e.id[-1] for e in rest] == ["2", "a"]
    offline = replace(query, states=frozenset({EngineState.OFFLINE}))
    assert [e.id[-1] for e in await store.list_engines(offline)] == ["a"]
    assert await store.count_online_engines() == 3
    async with store.transaction() as tx:
        assert await tx.take_engines_offline() == 3
    assert await store.count_online_engines() == 0


async def test_ready_tasks_come_in_their_turn(store: Store) -> None:
    low, early, late, high = job(0, priority=-1), job(1), job(2), job(3, priority=5)
    tasks = {
        j.id: task(j, requirement="muxer=mp4" if j is late else "")
        for j in (low, early, late, high)
    }
    waiting = task(low, 1, state=TaskState.BLOCKED)
    for record in (low, early, late, high):
        await put(store, record, tasks[record.id])
    await put(store, waiting)
    assert list(await store.list_requirements()) == ["", "muxer=mp4"]
    both = ["", "muxer=mp4"]
    turn = await store.list_ready_tasks(requirements=both, limit=10)
    assert [t.job_id for t in turn] == [high.id, early.id, late.id, low.id]
    plain = await store.list_ready_tasks(requirements=[""], limit=2)
    assert [t.job_id for t in plain] == [high.id, early.id]
    assert await store.count_ready_before(tasks[low.id], requirements=both) == 3
    assert await store.count_ready_before(tasks[low.id], requirements=[""]) == 2
    async with store.transaction() as tx:
        claimable = await tx.get_claimable_task(tasks[high.id].id)
        assert claimable is not None
        await tx.save_task(replace(claimable, state=TaskState.LEASED, fencing_token=1))
    async with store.transaction() as tx:
        assert await tx.get_claimable_task(tasks[high.id].id) is None
        assert await tx.get_claimable_task(waiting.id) is None


async def test_leases_are_renewed_by_their_holder_alone(store: Store) -> None:
    of = job()
    probe = task(of)
    held = attempt(probe, 2)
    lost = attempt(probe, 1, state=AttemptState.LOST, lease_expire_time=None)
    await put(store, of, probe, lost, held)
    assert [a.id for a in await store.list_live_attempts(held.engine_id)] == [held.id]
    async with store.transaction() as tx:
        assert [a.id for a in await tx.list_live_attempts(job_id=of.id)] == [held.id]
        assert [a.id for a in await tx.list_live_attempts(engine_id=held.engine_id)] == [held.id]
        for engine_id, token in (("other", 2), (held.engine_id, 1)):
            tokens = {held.id: token, lost.id: 1}
            assert not await tx.renew_leases(engine_id=engine_id, tokens=tokens, expire_time=at(99))
        renewed = await tx.renew_leases(
            engine_id=held.engine_id, tokens={held.id: 2, lost.id: 1}, expire_time=at(40)
        )
        assert [a.lease_expire_time for a in renewed] == [at(40)]
        never_back = await tx.renew_leases(
            engine_id=held.engine_id, tokens={held.id: 2}, expire_time=at(30)
        )
        assert [a.lease_expire_time for a in never_back] == [at(40)]
        assert not await tx.renew_leases(engine_id="x", tokens={}, expire_time=at(30))
    assert await store.get_next_lease_expiry() == at(40)
    assert not await store.list_expired_leases(at(39.9), limit=10)
    assert [a.id for a in await store.list_expired_leases(at(40), limit=10)] == [held.id]
    async with store.transaction() as tx:
        assert await tx.extend_leases(expire_time=at(30)) == 0
        assert await tx.extend_leases(expire_time=at(60)) == 1
    assert await store.get_next_lease_expiry() == at(60)


async def test_what_is_due_is_told(store: Store) -> None:
    assert await store.get_next_lease_expiry() is None
    assert await store.get_next_retry_time() is None
    assert await store.get_next_job_expiry() is None
    assert await store.get_next_garbage_time() is None
    soon = job(0, expire_time=at(5))
    later = job(1, expire_time=at(9))
    ended = job(2, expire_time=at(1), state=JobState.COMPLETED)
    resting = task(soon, state=TaskState.BACKING_OFF, retry_time=at(7))
    await put(store, soon, later, ended, resting, task(later))
    assert await store.get_next_job_expiry() == at(5)
    assert [j.id for j in await store.list_expired_jobs(at(9), limit=9)] == [soon.id, later.id]
    assert await store.get_next_retry_time() == at(7)
    assert not await store.list_due_retries(at(6), limit=9)
    assert [t.id for t in await store.list_due_retries(at(7), limit=9)] == [resting.id]
    junk = GarbageRecord(object_id=ident(0, 7), tenant="local", due_time=at(3), final_time=at(30))
    async with store.transaction() as tx:
        await tx.put_garbage(junk)
        await tx.put_garbage(replace(junk, due_time=at(4)))
    assert await store.get_next_garbage_time() == at(4)
    assert list(await store.list_due_garbage(at(4), limit=9)) == [replace(junk, due_time=at(4))]
    async with store.transaction() as tx:
        await tx.remove_garbage(junk.object_id)
        await tx.remove_garbage(junk.object_id)
    assert await store.get_next_garbage_time() is None


async def test_requests_are_the_tenants_own(store: Store) -> None:
    mine = RequestRecord(
        tenant="local",
        request_id="r",
        method="CreateJob",
        digest="d",
        job_id=job().id,
        create_time=NOW,
    )
    async with store.transaction() as tx:
        await tx.add_request(mine)
        await tx.add_request(replace(mine, tenant="else"))
        assert await tx.get_request("local", "r") == mine
    assert await store.get_request("local", "r") == mine
    assert await store.get_request("none", "r") is None


async def test_history_and_events_keep_their_order(store: Store) -> None:
    await put(store, job())
    moves = [
        TransitionRecord(
            tenant="local",
            job_id=job().id,
            from_state=None if k == 0 else JobState.PENDING,
            event=f"E{k}",
            to_state=JobState.PENDING,
            cause="because",
            time=NOW,
        )
        for k in range(5)
    ]
    events = [
        OutboxRecord(tenant="local", type=f"t{k}", subject="s", payload={"k": str(k)}, time=NOW)
        for k in range(5)
    ]
    async with store.transaction() as tx:
        for move, event in zip(moves, events, strict=True):
            await tx.add_transition(move)
            await tx.add_event(event)
    assert list(await store.list_transitions(job().id)) == moves
    assert list(await store.list_events(limit=3)) == events[:3]


async def test_a_source_is_needed_until_its_job_ends(store: Store) -> None:
    await put(store, job())
    assert await store.is_object_needed("local", job().source_object_id)
    assert not await store.is_object_needed("else", job().source_object_id)
    async with store.transaction() as tx:
        await tx.save_job(job(state=JobState.FAILED))
    assert not await store.is_object_needed("local", job().source_object_id)
