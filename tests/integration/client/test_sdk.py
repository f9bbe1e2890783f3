# small local files, in tests
import asyncio
import hashlib
import io
import shutil
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from distconv.client import (
    Break,
    Client,
    Direction,
    Job,
    JobCancelledError,
    JobFailedError,
    JobState,
    TranscodeResult,
    Transfer,
)
from distconv.client.connection import Connection
from distconv.client.testing import FakeSystem
from distconv.core.errors import (
    AlreadyExistsError,
    DamagedObjectError,
    DataLossError,
    DiskFullError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
    UnknownProfileError,
)
from distconv.rpc.limits import MAX_CHUNK_BYTES
from distconv.rpc.pacing import Grant, Pacer
from distconv.v1 import job_pb2
from distconv.v1 import storage_service_pb2 as storage


def _leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if ".part-" in p.name)


async def test_upload_arrives_whole_with_progress(
    fake: FakeSystem, client: Client, video: Path
) -> None:
    seen: list[Transfer] = []
    stored = await client.upload(video, on_progress=seen.append)
    data = video.read_bytes()
    assert fake.state.objects[stored.name] == data
    assert stored.sha256 == hashlib.sha256(data).hexdigest()
    assert seen[0].done_bytes == 0
    done = [transfer.done_bytes for transfer in seen]
    assert done == sorted(set(done))  # a response that acknowledges nothing is no progress
    assert seen[-1] == Transfer(
        direction=Direction.UPLOAD, done_bytes=len(data), total_bytes=len(data)
    )


async def test_an_upload_over_a_fast_line_ends_in_long_chunks(
    fake: FakeSystem, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every line is a fast one: the machine may be busy.
    monkeypatch.setattr("distconv.core.credit._SHORT_CHUNK_S", 3600.0)
    await client.upload(io.BytesIO(bytes(20 * MAX_CHUNK_BYTES)))
    [upload] = fake.state.uploads.values()
    assert upload.longest_chunk_bytes == MAX_CHUNK_BYTES


class _FastLine(Pacer):
    """Takes a line for a fast one from its first grant on."""

    def grant(self) -> Grant:
        grant = super().grant()
        return Grant(credit_bytes=grant.credit_bytes, chunk_bytes=MAX_CHUNK_BYTES)


async def test_a_download_tells_with_its_credit_how_long_chunks_are_to_be(
    fake: FakeSystem,
    client: Client,
    video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("distconv.client.reading.Pacer", _FastLine)
    await client.download(fake.state.store(video.read_bytes()), tmp_path / "out.mp4")
    assert len(fake.state.named_chunks) > 1
    assert set(fake.state.named_chunks) == {MAX_CHUNK_BYTES}


async def test_upload_takes_an_open_file(fake: FakeSystem, client: Client) -> None:
    stored = await client.upload(io.BytesIO(b"x" * 300_000))
    assert fake.state.objects[stored.name] == b"x" * 300_000


async def test_upload_resumes_and_sends_again_only_what_is_missing(
    fake: FakeSystem, client: Client, video: Path
) -> None:
    fake.faults.cut_writes = [600_000, 1_200_000, 0]
    stored = await client.upload(video)
    assert fake.state.objects[stored.name] == video.read_bytes()
    (upload,) = fake.state.uploads.values()
    assert upload.sent_bytes == video.stat().st_size


@pytest.mark.parametrize("room", [0, 1_000_000])
async def test_upload_to_a_full_storage_says_so(
    fake: FakeSystem, client: Client, video: Path, room: int
) -> None:
    fake.faults.full_after = room
    with pytest.raises(DiskFullError, match="the storage's disk is full"):
        await client.upload(video)
    (upload,) = fake.state.uploads.values()
    assert upload.aborted


async def test_upload_renews_a_token_that_is_refused(
    fake: FakeSystem, client: Client, video: Path
) -> None:
    fake.faults.refuse_tokens = 1
    await client.upload(video)


async def test_upload_gives_up_when_every_token_is_refused(
    fake: FakeSystem, client: Client, video: Path
) -> None:
    fake.faults.refuse_tokens = 1_000
    with pytest.raises(UnauthenticatedError):
        await client.upload(video)


async def test_cancelled_upload_is_aborted_at_storage(
    fake: FakeSystem, client: Client, video: Path
) -> None:
    begun = asyncio.Event()
    uploading = asyncio.create_task(client.upload(video, on_progress=lambda _: begun.set()))
    await begun.wait()
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    (upload,) = fake.state.uploads.values()
    assert upload.aborted


async def test_download_is_whole_and_leaves_nothing_beside_it(
    fake: FakeSystem, client: Client, video: Path, tmp_path: Path
) -> None:
    name = fake.state.store(video.read_bytes())
    target = tmp_path / "out.mp4"
    seen: list[Transfer] = []
    await client.download(name, target, on_progress=seen.append)
    assert target.read_bytes() == video.read_bytes()
    assert seen[-1].fraction == 1.0
    assert _leftovers(tmp_path) == []


async def test_download_resumes(
    fake: FakeSystem, client: Client, video: Path, tmp_path: Path
) -> None:
    name = fake.state.store(video.read_bytes())
    fake.faults.cut_reads = [600_000, 1_200_000, 0]
    await client.download(name, tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == video.read_bytes()


async def test_download_asks_again_for_damaged_chunks(
    fake: FakeSystem, client: Client, video: Path, tmp_path: Path
) -> None:
    name = fake.state.store(video.read_bytes())
    fake.faults.damage = 2
    await client.download(name, tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == video.read_bytes()


async def test_download_over_a_path_that_damages_everything_is_given_up(
    fake: FakeSystem, client: Client, video: Path, tmp_path: Path
) -> None:
    name = fake.state.store(video.read_bytes())
    fake.faults.damage = 1_000
    with pytest.raises(DataLossError):
        await client.download(name, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
    assert _leftovers(tmp_path) == []


async def test_a_stored_file_that_is_too_short_is_damaged_at_once(
    fake: FakeSystem, client: Client, video: Path, tmp_path: Path
) -> None:
    name = fake.state.store(video.read_bytes())
    fake.faults.stored_bytes = 1000
    async with asyncio.timeout(5):
        with pytest.raises(DamagedObjectError, match="1000 of 3000001 bytes are stored"):
            await client.download(name, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


async def test_download_does_not_replace_unless_told(
    fake: FakeSystem, client: Client, tmp_path: Path
) -> None:
    name = fake.state.store(b"new" * 100)
    target = tmp_path / "out.mp4"
    target.write_text("old")
    with pytest.raises(AlreadyExistsError):
        await client.download(name, target)
    assert target.read_text() == "old"
    await client.download(name, target, overwrite=True)
    assert target.read_bytes() == b"new" * 100


async def test_transcode_goes_all_the_way_and_tidies_up(
    fake: FakeSystem, client: Client, video: Path, tmp_path: Path
) -> None:
    seen: list[Transfer | Job] = []
    result = await client.transcode(
        video, tmp_path / "out.mp4", profile="h264-720p", on_progress=seen.append
    )
    assert result.path.read_bytes() == fake.state.encode(video.read_bytes())
    assert result.job.state is JobState.COMPLETED
    assert result.output.notes[0].message.startswith("the attached font")
    states = [s.state for s in seen if isinstance(s, Job)]
    assert states[0] is JobState.PENDING
    assert states[-1] is JobState.COMPLETED
    assert fake.state.objects == {}


@pytest.mark.parametrize("overlap", [True, False])
async def test_transcode_says_how_much_room_its_result_needs_and_goes_on_once_there_is(
    fake: FakeSystem,
    client: Client,
    video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    overlap: bool,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    out = tmp_path / "out.mp4"
    encoded = fake.state.encode(video.read_bytes())

    def transcode(on_progress: Callable[[Transfer | Job], None]) -> Awaitable[TranscodeResult]:
        return client.transcode(
            video, out, profile="h264-720p", overlap=overlap, resume=True, on_progress=on_progress
        )

    with monkeypatch.context() as full:

        def fill(step: Transfer | Job) -> None:
            if isinstance(step, Job):
                full.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=7))

        with pytest.raises(DiskFullError, match=rf"\(7 bytes free, {len(encoded):,} needed\)"):
            await transcode(fill)
    assert _leftovers(tmp_path) == []
    result = await transcode(lambda _: None)
    assert result.was_left
    assert out.read_bytes() == encoded
    assert fake.state.objects == {}


async def test_transcode_keeps_the_objects_when_asked(
    fake: FakeSystem, client: Client, video: Path, tmp_path: Path
) -> None:
    await client.transcode(video, tmp_path / "out.mp4", profile="h264-720p", keep=True)
    assert len(fake.state.objects) == 2


async def test_transcode_says_why_the_job_failed(
    fake: FakeSystem, client: Client, video: Path, tmp_path: Path
) -> None:
    fake.state.held = True

    def fail(step: Transfer | Job) -> None:
        if isinstance(step, Job) and step.state is JobState.PENDING:
            tasks.append(
                asyncio.ensure_future(
                    fake.state.move(
                        step.name,
                        job_pb2.JOB_STATE_FAILED,
                        error=job_pb2.Failure(reason="CORRUPT_SOURCE", message="no video in it"),
                    )
                )
            )

    tasks: list[asyncio.Future[None]] = []
    with pytest.raises(JobFailedError, match="no video in it") as caught:
        await client.transcode(video, tmp_path / "o.mp4", profile="h264-720p", on_progress=fail)
    assert caught.value.failure.reason == "CORRUPT_SOURCE"
    assert not (tmp_path / "o.mp4").exists()
    assert fake.state.objects == {}


async def _until(job_seen: Callable[[Job], bool], client: Client, video: Path, out: Path) -> None:
    """Cancel a transcode as soon as a snapshot is the one waited for."""
    reached = asyncio.Event()

    def look(step: Transfer | Job) -> None:
        if isinstance(step, Job) and job_seen(step):
            reached.set()

    task = asyncio.create_task(client.transcode(video, out, profile="h264-720p", on_progress=look))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_transcode_cancels_its_job_and_leaves_nothing(
    fake: FakeSystem, client: Client, video: Path, tmp_path: Path
) -> None:
    fake.state.held = True
    await _until(lambda job: bool(job.wait_reason), client, video, tmp_path / "out.mp4")
    (job,) = fake.state.jobs.values()
    assert job.state == job_pb2.JOB_STATE_CANCELLED
    assert fake.state.objects == {}
    assert not (tmp_path / "out.mp4").exists()


async def test_transcode_of_a_job_that_another_cancels(
    fake: FakeSystem, client: Client, video: Path, tmp_path: Path
) -> None:
    fake.state.held = True
    tasks: list[asyncio.Future[Job]] = []

    def cancel(step: Transfer | Job) -> None:
        if isinstance(step, Job) and step.state is JobState.PENDING and not tasks:
            tasks.append(asyncio.ensure_future(client.cancel_job(step.name)))

    with pytest.raises(JobCancelledError):
        await client.transcode(video, tmp_path / "o.mp4", profile="copy", on_progress=cancel)
    await tasks[0]


async def test_watch_attaches_again(fake: FakeSystem, client: Client, video: Path) -> None:
    fake.faults.cut_watches = [1, 0, 3, 1]
    stored = await client.upload(video)
    job = await client.create_job(source=stored, profile="h264-720p")
    states = [snapshot.state async for snapshot in client.watch_job(job.id)]
    assert states[-1] is JobState.COMPLETED


async def test_work_survives_a_restart_of_the_server(
    fake: FakeSystem, video: Path, tmp_path: Path
) -> None:
    fake.state.held = True
    broken = asyncio.Event()
    waiting = asyncio.Event()

    def on_break(_: Break) -> None:
        broken.set()

    def look(step: Transfer | Job) -> None:
        if isinstance(step, Job):
            waiting.set()

    async with Client(fake.address, reconnect=timedelta(seconds=30), on_break=on_break) as client:
        task = asyncio.create_task(
            client.transcode(video, tmp_path / "out.mp4", profile="copy", on_progress=look)
        )
        await waiting.wait()
        await fake.stop()
        await broken.wait()
        await fake.start()
        (name,) = fake.state.jobs
        await fake.state.run(name)
        result = await task
    assert result.path.exists()


async def test_a_server_that_stays_away_is_given_up(
    fake: FakeSystem, video: Path, tmp_path: Path
) -> None:
    fake.state.held = True
    waiting = asyncio.Event()

    def look(step: Transfer | Job) -> None:
        if isinstance(step, Job):
            waiting.set()

    async with Client(fake.address, reconnect=timedelta(seconds=0.3)) as client:
        task = asyncio.create_task(
            client.transcode(video, tmp_path / "out.mp4", profile="copy", on_progress=look)
        )
        await waiting.wait()
        await fake.stop()
        with pytest.raises(UnavailableError, match=r"did not come back within 0\.3 s"):
            await task


async def test_no_server_is_said_at_once(video: Path) -> None:
    async with Client("127.0.0.1:1", reconnect=timedelta(hours=1)) as client:
        with pytest.raises(UnavailableError, match=r"no server answers at 127\.0\.0\.1:1"):
            await client.upload(video)


async def test_storage_that_is_away_is_not_taken_for_the_server(fake: FakeSystem) -> None:
    connection = Connection(fake.address, reconnect=timedelta(0))
    away = "127.0.0.1:1"
    try:
        with pytest.raises(
            UnavailableError, match=rf"no storage answers at {away} .* dispatch names it"
        ):
            await connection.once(
                connection.storage(away).GetObject, storage.GetObjectRequest(), address=away
            )
    finally:
        await connection.close()


async def test_listing_goes_over_pages_newest_first(
    fake: FakeSystem, client: Client, video: Path
) -> None:
    fake.state.held = True
    stored = await client.upload(video)
    made = [(await client.create_job(source=stored, profile="copy")).name for _ in range(5)]
    async with aclosing(client.list_jobs(page_size=2)) as jobs:
        listed = [job.name async for job in jobs]
    assert listed == made[::-1]


async def test_creating_twice_with_one_request_id_makes_one_job(
    fake: FakeSystem, client: Client, video: Path
) -> None:
    fake.state.held = True
    stored = await client.upload(video)
    first = await client.create_job(source=stored, profile="copy", request_id="r")
    again = await client.create_job(source=stored, profile="copy", request_id="r")
    assert first.name == again.name


async def test_errors_keep_their_class_and_their_hints(client: Client) -> None:
    with pytest.raises(UnknownProfileError, match="did you mean h264-720p"):
        await client.get_profile("h264-72p")
    with pytest.raises(NotFoundError):
        await client.get_job("zzzz")


async def test_profiles_tasks_and_server_info(
    fake: FakeSystem, client: Client, video: Path
) -> None:
    assert "h264-720p" in [p.name for p in await client.list_profiles()]
    assert (await client.server_info()).version
    fake.state.held = True
    job = await client.create_job(source=await client.upload(video), profile="copy")
    (task,) = await client.list_tasks(job.id)
    assert task.attempts[0].decision
