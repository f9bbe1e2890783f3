"""One suite for every store: what the port promises, on each adapter."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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
from distconv.core.transfer import TransferMode
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.memory import MemoryStore
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.queries import EngineQuery, JobQuery, Line, Order, TaskQuery
from distconv.dispatch.store.records import (
    AccountRecord,
    AttemptRecord,
    BenchmarkRecord,
    EngineRecord,
    GarbageRecord,
    HeartbeatRecord,
    JobOutput,
    JobRecord,
    OutboxRecord,
    ReplicaRecord,
    RequestRecord,
    SpeedRecord,
    TaskRecord,
    TransitionRecord,
)
from distconv.dispatch.store.sql import SqlStore
from distconv.dispatch.store.tables import metadata
from distconv.dispatch.store.terms import label_term, word_terms
from servers import PostgresqlServer

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


@pytest.fixture(scope="module")
def database_url(postgresql: PostgresqlServer) -> str:
    return postgresql.new_database()


async def _empty(store: SqlStore) -> None:
    names = ", ".join(table.name for table in metadata.sorted_tables)
    async with store._writing.begin() as connection:
        await connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY")


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store
    if request.param == "memory":
        made = MemoryStore()
    elif request.param == "sqlite":
        made = await SqlStore.open_sqlite(tmp_path / "dispatch.db")
    else:
        made = await SqlStore.open_postgresql(request.getfixturevalue("database_url"))
        await _empty(made)
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
        engine_tags=("gpu", "ü"),
        duration=timedelta(hours=2, microseconds=7),
        pixel_count=1 << 50,
        attempt_count=4,
        transfer_mode=TransferMode.FILE,
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
        urgency=-3,
        rank=0.1 + 0.2,
        cost=1e15 + 0.5,
        ready_time=at(6),
        promote_time=at(7),
        lost_count=2,
        deadline=at(8),
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
        transfer_mode="STREAMING",
        estimate=timedelta(minutes=3, microseconds=1),
    )
    ill = engine(
        "000000000000000f",
        state=EngineState.QUARANTINED,
        maintenance=True,
        strike_count=3,
        quarantine_count=2,
        quarantine_time=at(900),
        quarantine_reason="it failed what others completed",
        replica_id=ident(1, 2),
    )
    await put(store, of, first, second, tried, engine(), ill)
    assert await store.get_engine(ill.id) == ill
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


async def test_many_rows_at_once_are_whole_or_refused(store: Store) -> None:
    many = [job(number, labels={"show": f"n{number}"}) for number in range(100, 300)]
    async with store.transaction() as tx:
        for record in many:
            await tx.add_job(record)
    for record in (many[0], many[-1]):
        assert await store.get_job(record.id) == record
    found = await store.list_jobs(
        JobQuery(tenant="local", terms=(label_term("show", "n200"),), limit=5)
    )
    assert [record.id for record in found] == [many[100].id]

    async def add_some_again() -> None:
        async with store.transaction() as tx:
            for number in range(250, 450):
                await tx.add_job(job(number))

    with pytest.raises(AlreadyExistsError):
        await add_some_again()
    assert await store.get_job(job(449).id) is None


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
    assert await store.count_ready_before(tasks[low.id], requirements=both) == 3
    assert await store.count_ready_before(tasks[low.id], requirements=[""]) == 2
    async with store.transaction() as tx:
        (claimable,) = await tx.claim_tasks([tasks[high.id].id])
        await tx.save_task(replace(claimable, state=TaskState.LEASED, fencing_token=1))
    async with store.transaction() as tx:
        assert not await tx.claim_tasks([tasks[high.id].id, waiting.id])


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
        # The latest of the last deletions that were asked for stays.
        await tx.put_garbage(replace(junk, due_time=at(4), final_time=at(20)))
        assert await tx.get_garbage(junk.object_id) == replace(junk, due_time=at(4))
    async with store.transaction() as tx:
        await tx.put_garbage(replace(junk, due_time=at(4), final_time=at(20)))
        assert await tx.get_garbage(junk.object_id) == replace(junk, due_time=at(4))
        assert await tx.get_garbage(ident(0, 8)) is None
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
        assert await tx.list_requests("local", ["new", "r"]) == [mine]
    assert await store.list_requests("local", ["r", "new"]) == [mine]
    assert await store.list_requests("none", ["r"]) == []
    async with store.transaction() as tx:
        assert await tx.list_requests("local", ["new", "r"]) == [mine]


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


async def test_every_kind_of_repeated_id_is_refused_alike(store: Store) -> None:
    of = job()
    request = RequestRecord(
        tenant="local", request_id="r", method="m", digest="d", job_id=of.id, create_time=NOW
    )
    await put(store, of, task(of), attempt(task(of)))
    async with store.transaction() as tx:
        await tx.add_request(request)

    async def add(record: Any) -> None:
        async with store.transaction() as tx:
            match record:
                case JobRecord():
                    await tx.add_job(record)
                case TaskRecord():
                    await tx.add_task(record)
                case AttemptRecord():
                    await tx.add_attempt(record)
                case RequestRecord():
                    await tx.add_request(record)

    for record in (of, task(of), attempt(task(of)), request):
        with pytest.raises(AlreadyExistsError):
            await add(record)
    twice = job(1)
    with pytest.raises(AlreadyExistsError):
        await put(store, twice, twice)
    assert await store.get_job(twice.id) is None


async def test_a_transaction_sees_what_it_wrote(store: Store) -> None:
    of = job()
    first, second = task(of), task(of, 1, state=TaskState.BLOCKED)
    held = attempt(first)
    await put(store, of, first, second, held)
    async with store.transaction(Keys(attempts=(held.id,), with_plan=True)) as tx:
        moved = replace(first, state=TaskState.LEASED)
        await tx.save_task(moved)
        third = task(of, 2)
        await tx.add_task(third)
        assert list(await tx.list_tasks(of.id)) == [moved, second, third]
        other = attempt(third, 2, id=ident(5, 5))
        await tx.add_attempt(other)
        assert list(await tx.list_live_attempts(job_id=of.id)) == [held, other]
        await tx.save_attempt(replace(held, state=AttemptState.LOST, lease_expire_time=None))
        assert list(await tx.list_live_attempts(job_id=of.id)) == [other]
        assert list(await tx.list_live_attempts(engine_id=other.engine_id)) == [other]
        assert not await tx.claim_tasks([first.id, second.id])
        assert list(await tx.claim_tasks([third.id])) == [third]
        assert await tx.get_attempt("nothing") is None
    assert list(await store.list_tasks(of.id)) == [moved, second, third]


async def test_what_is_dropped_leaves_nothing_and_what_is_kept_stays(store: Store) -> None:
    await put(store, job(), engine())
    async with store.transaction() as tx:
        found = await tx.get_job(job().id)
        assert found is not None
        await tx.save_job(replace(found, priority=1))
        tx.keep()
        await tx.save_job(replace(found, priority=2))
        await tx.add_job(job(1))
        await tx.remove_jobs([job().id])
        await tx.add_event(
            OutboxRecord(tenant="local", type="t", subject="s", payload={}, time=NOW)
        )
        tx.drop()
        seen = await tx.get_job(job().id)
        assert seen is not None
        assert seen.priority == 1
        await tx.add_job(job(2))
    assert [j.priority for j in await store.list_jobs(JobQuery(tenant="local", limit=9))] == [0, 1]
    assert await store.get_job(job(1).id) is None
    assert not await store.list_events(limit=9)


ORDERED = [
    (Order.NEWEST_FIRST, "543210"),
    (Order.OLDEST_FIRST, "012345"),
    (Order.HIGHEST_FIRST, "524130"),
    (Order.LOWEST_FIRST, "031425"),
    (Order.LAST_ENDED_FIRST, "135"),
    (Order.FIRST_ENDED_FIRST, "531"),
]


@pytest.mark.parametrize(("order", "expected"), ORDERED)
async def test_jobs_are_paged_in_every_order(store: Store, order: Order, expected: str) -> None:
    jobs = [job(k, priority=k % 3, end_time=at(90 - k) if k % 2 else None) for k in range(6)]
    await put(store, *jobs)
    query = JobQuery(tenant="local", order=order, limit=2)
    seen = ""
    while page := await store.list_jobs(query):
        seen += "".join(str(jobs.index(found)) for found in page)
        last = page[-1]
        value = None if order.field == "create_time" else getattr(last, order.field)
        query = replace(query, after=last.id, after_value=value)
    assert seen == expected
    assert await store.count_jobs(replace(query, after="")) == len(expected)


async def test_jobs_are_found_by_every_filter(store: Store) -> None:
    red = job(0, labels={"colour": "red"}, source_file_name="Summer_holiday 2029.MKV")
    both = job(1, labels={"colour": "red", "size": "xl"}, source_file_name="winter-2029.mkv")
    blue = job(2, labels={"colour": "blue"}, source_file_name="Лето.mp4")
    gone = job(3, delete_time=at(50), labels={"colour": "red"})
    await put(store, red, both, blue, gone, job(4, tenant="else", labels={"colour": "red"}))
    await put(store, task(both), attempt(task(both), engine_id="00000000000000ee"))

    async def found(**conditions: Any) -> list[str]:
        query = JobQuery(tenant="local", limit=9, **conditions)
        listed = [j.id for j in await store.list_jobs(query)]
        assert await store.count_jobs(query) == len(listed)
        return listed

    colour = label_term("colour", "red")
    assert await found(terms=(colour,)) == [both.id, red.id]
    assert await found(terms=(colour, label_term("size", "xl"))) == [both.id]
    assert await found(terms=word_terms("SUMMER 2029")) == [red.id]
    assert await found(terms=word_terms("лето")) == [blue.id]
    assert await found(terms=("word:nothing",)) == []
    assert await found(terms=(colour,), show_deleted=True) == [gone.id, both.id, red.id]
    assert await found(engine_id="00000000000000ee") == [both.id]
    assert await found(created_after=at(1)) == [blue.id, both.id]
    assert await found(created_before=at(1)) == [red.id]
    assert await found(created_after=datetime(1, 1, 1, tzinfo=UTC)) == [blue.id, both.id, red.id]
    assert len(await found(created_before=datetime(9999, 1, 1, tzinfo=UTC))) == 3
    async with store.transaction() as tx:
        known = await tx.get_job(red.id)
        assert known is not None
        await tx.save_job(replace(known, labels={"colour": "green"}))
    assert await found(terms=(colour,)) == [both.id]
    assert await found(terms=(label_term("colour", "green"), *word_terms("holiday"))) == [red.id]


async def test_tasks_are_found_by_their_jobs(store: Store) -> None:
    hd = load_catalogue().get("h264-1080p")
    red = job(0, labels={"colour": "red"}, source_file_name="Summer holiday.mp4")
    blue = job(1, labels={"colour": "blue"}, profile=hd, profile_name=hd.name)
    both = job(2, labels={"colour": "red", "size": "9"}, source_file_name="holiday.mov",
               profile=hd, profile_name=hd.name)  # fmt: skip
    jobs = [red, blue, both]
    tasks = [task(of, n) for of in jobs for n in range(2)]
    here, there = "00000000000000ee", "00000000000000ff"
    tries = [
        attempt(tasks[k], token, id=ident(k, 50 + token), engine_id=engine_id)
        for k, token, engine_id in (
            (0, 1, here), (0, 2, here), (3, 1, there), (5, 1, here), (5, 2, there),
        )
    ]  # fmt: skip
    await put(store, *jobs, *tasks, *tries)
    await put(store, job(3, tenant="else", labels={"colour": "red"}))

    async def found(**conditions: Any) -> list[int]:
        """Read page by page, one task on each, forth and back."""
        orders = []
        for is_descending in (True, False):
            numbers: list[int] = []
            query = TaskQuery(tenant="local", limit=1, is_descending=is_descending, **conditions)
            while page := await store.find_tasks(query):
                numbers += [tasks.index(record) for record in page]
                last = page[-1]
                query = replace(query, after=last.id, after_value=query.place_of(last))
            assert await store.count_tasks(query) == len(numbers)
            orders.append(numbers)
        assert orders[0] == orders[1][::-1]
        return orders[1]

    colour = label_term("colour", "red")
    assert await found(terms=(colour,)) == [0, 1, 4, 5]
    assert await found(terms=word_terms("holiday")) == [0, 1, 4, 5]
    assert await found(terms=(*word_terms("holiday"), label_term("size", "9"))) == [4, 5]
    assert await found(profile_name=hd.name) == [2, 3, 4, 5]
    assert await found(profile_name=hd.name, terms=(colour,)) == [4, 5]
    assert await found(engine_id=here) == [0, 5]
    assert await found(engine_id=there) == [3, 5]
    assert await found(engine_id=here, profile_name=hd.name) == [5]
    assert await found(engine_id=here, terms=(colour,)) == [0, 5]
    assert await found(engine_id="00000000000000aa") == []
    assert await found(created_after=blue.create_time) == [2, 3, 4, 5]
    assert await found(created_before=both.create_time, terms=(colour,)) == [0, 1]
    assert await found(created_after=both.create_time, engine_id=here) == [5]
    of_one: dict[str, Any] = {"job_id": both.id}
    assert await found(**of_one) == [4, 5]
    assert await found(**of_one, engine_id=here, terms=(colour,), profile_name=hd.name) == [5]
    assert await found(**of_one, profile_name=PROFILE.name) == []
    assert await found(**of_one, terms=(label_term("colour", "blue"),)) == []


async def test_tasks_are_found_over_jobs(store: Store) -> None:
    one, two = job(0), job(1)
    tasks = [task(one), task(one, 1, state=TaskState.BLOCKED), task(two)]
    await put(store, one, two, *tasks, attempt(tasks[2], engine_id="00000000000000ee"))
    await put(store, job(2, tenant="else"), task(job(2, tenant="else")))

    async def found(**conditions: Any) -> list[int]:
        query = TaskQuery(tenant="local", **{"limit": 9, **conditions})
        return [tasks.index(record) for record in await store.find_tasks(query)]

    assert await found() == [2, 1, 0]
    assert await found(limit=2) == [2, 1]
    assert await found(after=tasks[1].id) == [0]
    assert await found(is_descending=False) == [0, 1, 2]
    assert await found(is_descending=False, after=tasks[1].id) == [2]
    assert await found(job_id=one.id) == [1, 0]
    assert await found(job_id=one.id, is_descending=False, limit=1) == [0]
    in_plan: dict[str, Any] = {"job_id": one.id, "after": tasks[0].id, "after_value": 0}
    assert await found(**in_plan, is_descending=False) == [1]
    assert await found(**in_plan) == []
    assert await found(states=frozenset({TaskState.BLOCKED})) == [1]
    assert await found(kinds=frozenset({TaskKind.TRANSCODE})) == []
    assert await found(engine_id="00000000000000ee") == [2]
    blocked = TaskQuery(tenant="local", states=frozenset({TaskState.BLOCKED}), limit=1)
    assert await store.count_tasks(blocked) == 1
    assert await store.count_tasks(TaskQuery(tenant="local", after=tasks[1].id, limit=1)) == 3
    tried = await store.list_attempts_at([task.id for task in tasks])
    assert [a.task_id for a in tried] == [tasks[2].id]
    assert await store.list_attempts_at([]) == []
    of_both = await store.list_tasks_of([one.id, "nothing"])
    assert [t.id for t in of_both] == [tasks[0].id, tasks[1].id]
    assert await store.list_tasks_of([]) in ([], ())


async def test_jobs_that_an_engine_had_are_listed_once_each(store: Store) -> None:
    jobs = [job(k, priority=k % 2) for k in range(5)]
    tasks = [task(j) for j in jobs]
    mine, other = "00000000000000ee", "00000000000000ef"
    tries = [(0, mine), (1, other), (2, mine), (2, other), (2, mine), (4, mine)]
    attempts = [
        attempt(tasks[k], number, engine_id=engine, lease_expire_time=None)
        for number, (k, engine) in enumerate(tries, 1)
    ]
    await put(store, *jobs, *tasks, *attempts)

    async def found(limit: int = 10, **query: Any) -> list[int]:
        asked = JobQuery(tenant="local", engine_id=mine, limit=limit, **query)
        assert await store.count_jobs(asked) == 3
        return [jobs.index(j) for j in await store.list_jobs(asked)]

    assert await found() == [4, 2, 0]
    assert await found(limit=2) == [4, 2]
    assert await found(after=jobs[2].id) == [0]
    oldest = Order("create_time")
    assert await found(order=oldest) == [0, 2, 4]
    assert await found(order=oldest, after=jobs[0].id) == [2, 4]
    assert await found(order=Order("priority desc")) == [4, 2, 0]


async def test_lines_give_their_heads_by_rank(store: Store) -> None:
    plan = [("", 0, 5.0), ("", 0, 3.0), ("", 0, 4.0), ("", 7, 9.0), ("m", 0, 1.0), ("n", 0, 0.0)]
    jobs = [job(k) for k in range(len(plan))]
    tasks = [
        task(of, requirement=requirement, urgency=urgency, rank=rank)
        for of, (requirement, urgency, rank) in zip(jobs, plan, strict=True)
    ]
    await put(store, *jobs, *tasks)
    assert list(await store.list_lines()) == [
        Line("", 0), Line("", 7), Line("m", 0), Line("n", 0),
    ]  # fmt: skip
    some = [Line("", 0), Line("", 7), Line("m", 0), Line("none", 0)]
    first = await store.list_ready_heads(lines=some, limit=2)
    assert [tasks.index(head) for head in first] == [3, 1, 2, 4]
    assert await store.list_ready_heads(lines=[], limit=2) == []
    heads = await store.list_line_heads(lines=some)
    assert [(head.id, head.rank) for head in heads] == [
        (tasks[k].id, tasks[k].rank) for k in (1, 3, 4)
    ]
    assert [head.line for head in heads] == some[:3]
    assert await store.list_line_heads(lines=[]) == []
    before = await store.count_ready_before(tasks[0], requirements=["", "m"])
    assert before == 4
    assert await store.count_ready_before(tasks[0], requirements=["", "m"], limit=2) == 2
    async with store.transaction() as tx:
        for gone in (tasks[3], tasks[4]):
            found = await tx.get_task(gone.id)
            assert found is not None
            await tx.save_task(replace(found, state=TaskState.CANCELLED))
    async with store.transaction() as tx:
        assert await tx.remove_idle_lines(unused_since=at(3)) == 0
        assert await tx.remove_idle_lines(unused_since=at(99)) == 2
    assert list(await store.list_lines()) == [Line("", 0), Line("n", 0)]


async def test_two_claimers_get_different_tasks(store: Store) -> None:
    jobs = [job(k) for k in range(40)]
    tasks = [task(of) for of in jobs]
    await put(store, *jobs, *tasks)

    async def claim(engine_id: str) -> list[str]:
        async with store.transaction() as tx:
            ready = await tx.claim_tasks([record.id for record in tasks])
            mine = ready[:15]
            await asyncio.sleep(0)
            for record in mine:
                of = await tx.get_job(record.job_id)
                assert of is not None
                await tx.save_job(replace(of, engine_id=engine_id))
                await tx.save_task(replace(record, state=TaskState.LEASED))
            return [record.id for record in mine]

    claims = await asyncio.gather(claim("a"), claim("b"), claim("c"))
    taken = [task_id for claimed in claims for task_id in claimed]
    assert len(taken) == len(set(taken))
    assert len(taken) >= 15
    for claimed, engine_id in zip(claims, "abc", strict=True):
        for task_id in claimed:
            of = await store.get_job(next(t.job_id for t in tasks if t.id == task_id))
            assert of is not None
            assert of.engine_id == engine_id


async def test_ranks_of_a_tenant_add_up_under_concurrency(store: Store) -> None:
    async def charge(tenant: str, cost: float) -> None:
        async with store.transaction() as tx:
            start = await tx.get_virtual_time(0)
            known = await tx.get_account(tenant, 0)
            await asyncio.sleep(0)
            await tx.put_account(
                replace(known, finish_rank=known.finish_rank + cost, claimed_rank=start)
            )

    async with asyncio.TaskGroup() as group:
        for k in range(24):
            group.create_task(charge("ab"[k % 2], 1.5))
    assert await store.list_accounts() == [
        AccountRecord(urgency=0, tenant="a", finish_rank=18, claimed_rank=0),
        AccountRecord(urgency=0, tenant="b", finish_rank=18, claimed_rank=0),
    ]
    async with store.transaction() as tx:
        await tx.put_account(AccountRecord(urgency=0, tenant="b", finish_rank=18, claimed_rank=7))
        assert await tx.get_virtual_time(0) == 7
        assert await tx.get_account("new", 0) == AccountRecord(urgency=0, tenant="new")


async def test_events_are_removed_once_published(store: Store) -> None:
    events = [
        OutboxRecord(
            tenant="local", type="t", subject="s", payload={"ü": "1"}, time=at(k),
            id=ident(k, k), sequence=k,
        )
        for k in range(6)
    ]  # fmt: skip
    for event in events:
        async with store.transaction() as tx:
            await tx.add_event(event)
    page = await store.list_events(limit=4)
    assert list(page) == events[:4]
    async with store.transaction() as tx:
        await tx.remove_events([event.number for event in page])
        await tx.remove_events([])
    assert list(await store.list_events(limit=9)) == events[4:]


async def test_a_duty_is_one_processs_at_a_time(store: Store) -> None:
    relay = store.duty("relay")
    async with relay as first, store.duty("relay") as second, store.duty("other") as third:
        assert (first, second, third) == (True, False, True)
    async with store.duty("relay") as again:
        assert again


async def test_retention_deletes_in_pages(store: Store) -> None:
    jobs = [job(k, delete_time=at(10 + k)) for k in range(3)]
    kept = job(5, labels={"a": "b"})
    for of in (*jobs, kept):
        await put(store, of, task(of), attempt(task(of), id=of.id[:-1] + "9"))
    async with store.transaction() as tx:
        for of in jobs:
            await tx.add_transition(
                TransitionRecord(
                    tenant="local", job_id=of.id, from_state=None, event="E",
                    to_state=JobState.PENDING, cause="c", time=NOW, attempt_id=of.id,
                )
            )  # fmt: skip
    assert await store.get_next_delete_time() == at(10)
    page = await store.list_deleted_jobs(at(12), limit=9)
    assert [found.id for found in page] == [jobs[0].id, jobs[1].id]
    async with store.transaction() as tx:
        await tx.remove_jobs([found.id for found in page])
    for of in jobs[:2]:
        assert await store.get_job(of.id) is None
        assert not await store.list_tasks(of.id)
        assert not await store.list_attempts(of.id)
        assert not await store.list_transitions(of.id)
    assert len(await store.list_transitions(jobs[2].id)) == 1
    assert len(await store.list_tasks(kept.id)) == 1
    async with store.transaction() as tx:
        for k in range(5):
            await tx.add_request(
                RequestRecord(
                    tenant="local", request_id=str(k), method="m", digest="d", job_id=kept.id,
                    create_time=NOW, expire_time=at(k) if k else None,
                )
            )  # fmt: skip
    async with store.transaction() as tx:
        assert await tx.remove_expired_requests(at(3), limit=2) == 2
    async with store.transaction() as tx:
        assert await tx.remove_expired_requests(at(3), limit=2) == 1
    left = await store.list_requests("local", ["0", "3", "4"])
    assert sorted(request.request_id for request in left) == ["0", "4"]


async def test_benchmarks_are_kept_and_speeds_replaced(store: Store) -> None:
    marks = [
        BenchmarkRecord(
            engine_id="000000000000000e", tenant="local", codec="h264", height=1080,
            build_id="b", fps=30.5 + k, measure_time=at(k),
        )
        for k in range(3)
    ]  # fmt: skip
    speed = SpeedRecord(
        engine_id="000000000000000e", codec="h264", height_class=1080, build_id="b",
        pixel_rate=1e9, sample_count=1, update_time=NOW,
    )  # fmt: skip
    key: Any = {
        "engine_id": speed.engine_id,
        "codec": "h264",
        "height_class": 1080,
        "build_id": "b",
    }
    async with store.transaction() as tx:
        for mark in marks:
            await tx.add_benchmark(mark)
        assert await tx.get_speed(**key) is None
        await tx.put_speed(speed)
        await tx.put_speed(replace(speed, engine_id="000000000000000f"))
    later = replace(speed, sample_count=2, pixel_rate=2e9)
    async with store.transaction() as tx:
        assert await tx.get_speed(**key) == speed
        await tx.put_speed(later)
    assert list(await store.list_benchmarks(speed.engine_id, limit=2)) == [marks[2], marks[1]]
    assert list(await store.list_speeds(engine_id=speed.engine_id)) == [later]
    assert len(await store.list_speeds()) == 2


async def test_silent_engines_and_promotions_are_told(store: Store) -> None:
    assert await store.get_earliest_heartbeat() is None
    assert await store.get_next_promote_time() is None
    await put(
        store,
        engine("0000000000000001", heartbeat_time=at(5)),
        engine("0000000000000002", heartbeat_time=at(3), state=EngineState.QUARANTINED),
        engine("0000000000000003", heartbeat_time=at(1), state=EngineState.OFFLINE),
        engine("0000000000000004", heartbeat_time=at(9)),
    )
    assert await store.get_earliest_heartbeat() == at(3)
    silent = await store.list_silent_engines(at(6), limit=9)
    assert [found.id[-1] for found in silent] == ["2", "1"]
    of = job()
    await put(store, of, task(of, promote_time=at(4)), task(of, 1, promote_time=at(8)))
    assert await store.get_next_promote_time() == at(4)
    assert [t.ordinal for t in await store.list_due_promotions(at(5), limit=9)] == [0]


async def test_what_a_source_is_was_probed_before(store: Store) -> None:
    source = ident(0, 1)
    await put(store, job(0), job(1, source_object_id=source, source_media=MEDIA))
    found = await store.get_probed_job("local", source)
    assert found is not None
    assert found.source_media == MEDIA
    assert await store.get_probed_job("else", source) is None
    assert await store.get_probed_job("local", ident(9, 9)) is None


def replica(name: str, heard: float) -> ReplicaRecord:
    return ReplicaRecord(
        id=name,
        address="127.0.0.1:7400",
        version="0.1.0",
        media_key="abc",
        storage="127.0.0.1:7401",
        start_time=NOW,
        heartbeat_time=at(heard),
    )


async def test_replicas_are_put_listed_and_removed(store: Store) -> None:
    one, two = replica(ident(0, 1), 1), replica(ident(0, 2), 5)
    for known in (one, two, replace(two, heartbeat_time=at(9))):
        await store.put_replica(known)
    assert await store.list_replicas(since=at(0)) == [one, replace(two, heartbeat_time=at(9))]
    assert [r.id for r in await store.list_replicas(since=at(2))] == [two.id]
    await store.remove_replica(two.id)
    await store.remove_replica(two.id)
    assert await store.list_replicas(since=at(0)) == [one]


async def test_heartbeats_are_kept_in_bulk_unless_the_session_is_another(store: Store) -> None:
    held = engine(ident(0, 1), replica_id=ident(0, 9), instance_id=ident(0, 8))
    moved = engine(ident(0, 2), session_id=ident(0, 60))
    async with store.transaction() as tx:
        await tx.put_engine(held)
        await tx.put_engine(moved)
    beats = [
        HeartbeatRecord(
            engine_id=found.id,
            session_id=held.session_id,
            time=at(30),
            metrics=EngineMetrics(cpu_fraction=0.9),
        )
        for found in (held, moved, engine(ident(0, 3)))
    ]
    assert await store.note_heartbeats(beats) == [moved]
    assert await store.note_heartbeats([]) == []
    kept = replace(held, heartbeat_time=at(30), metrics=EngineMetrics(cpu_fraction=0.9))
    assert await store.get_engine(held.id) == kept
    assert await store.get_engine(moved.id) == moved
    assert await store.list_replica_engines(ident(0, 9), limit=5) == [kept]
    assert await store.list_replica_engines(ident(0, 7), limit=5) == []
