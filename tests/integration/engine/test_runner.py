"""A real runner process between a real storage and a real ffmpeg."""

import asyncio
import io
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import grpc.aio
import psutil
import pytest
from tests.unit.media.movies import with_compressed_index

from distconv.core.attempt import AttemptPhase
from distconv.core.profiles import load_catalogue
from distconv.engine import wire
from distconv.engine.plugins.ffmpeg import FfmpegTranscoder
from distconv.engine.runner.config import RunnerConfig
from distconv.engine.runner_process import RunnerProcess
from distconv.engine.work import AttemptReport, MediaGrant, Said, SealedResult
from distconv.media.ffmpeg import bundled_ffmpeg
from distconv.media.ports import FileSource
from distconv.media.probe.prober import probe
from distconv.media.sandbox import RlimitSandbox
from distconv.rpc.convert import media as convert_media
from distconv.rpc.convert import profile as convert_profile
from distconv.rpc.convert.times import duration, timestamp
from distconv.rpc.tokens import MediaAction
from distconv.v1 import engine_service_pb2 as pb
from distconv.v1 import job_pb2, media_pb2, object_pb2

from .conftest import Storage

ATTEMPT = "jobs/0000000000000000/tasks/0000000000000001/attempts/0000000000000002"


@asynccontextmanager
async def started_runner(scratch: Path, *shared: Path) -> AsyncIterator[RunnerProcess]:
    """Start a runner with an empty scratch folder."""
    scratch.mkdir()
    transcoder = await FfmpegTranscoder.detect(None)
    config = RunnerConfig(
        transcoder="ffmpeg",
        transcoder_state=dict(transcoder.state()),
        log_level="warning" if shared else "error",
        progress_interval_s=0.05,
        media_patience_s=5,
        upload_window_bytes=1 << 20,
        direct_reads=True,
        direct_read_bytes=16 << 20,
        direct_writes=True,
        read_ahead_bytes=1 << 20,
        scratch_folder=str(scratch),
        shared_folders=[str(folder) for folder in shared],
    )
    process = RunnerProcess.spawn(config.to_bytes())
    yield process
    await process.stop(5)


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[RunnerProcess]:
    async with started_runner(tmp_path / "scratch") as process:
        yield process


def access(grant: MediaGrant) -> object_pb2.MediaAccess:
    return object_pb2.MediaAccess(
        storage_addresses=grant.addresses, token=grant.token, object=grant.object_name
    )


def assignment(**work) -> bytes:
    return pb.Assignment(
        attempt=ATTEMPT,
        fencing_token=7,
        lease_expire_time=timestamp(datetime.now(UTC) + timedelta(minutes=1)),
        **work,
    ).SerializeToString()


def probe_of(storage: Storage, object_id: str, size_bytes: int) -> bytes:
    source = access(storage.grant(MediaAction.READ, object_id))
    return assignment(probe=pb.ProbeWork(source=source, size_bytes=size_bytes))


def transcode_of(
    storage: Storage,
    object_id: str,
    media: media_pb2.MediaInfo,
    profile: str,
    sink: MediaGrant,
    *,
    stall_s: float = 30,
    by_file: int = 0,
) -> bytes:
    """Make an assignment; `by_file` is how much scratch disk it may take, 0: it is streamed."""
    return assignment(
        transcode=pb.TranscodeWork(
            source=access(storage.grant(MediaAction.READ, object_id)),
            media=media,
            sink=access(sink),
            profile=convert_profile.profile(load_catalogue().get(profile)),
            transfer_mode=(
                job_pb2.TRANSFER_MODE_FILE if by_file else job_pb2.TRANSFER_MODE_STREAMING
            ),
            scratch_bytes=by_file,
            stall_timeout=duration(timedelta(seconds=stall_s)),
        )
    )


async def all_said(runner: RunnerProcess) -> list[Said]:
    async with asyncio.timeout(60):
        return [said async for said in runner.said()]


async def result_of(runner: RunnerProcess) -> pb.AttemptResult:
    last = (await all_said(runner))[-1]
    assert isinstance(last, SealedResult)
    return wire.unseal(last)


async def probed(data: bytes, storage: Storage, runner: RunnerProcess) -> pb.AttemptResult:
    object_id = await storage.put(data)
    runner.assign(probe_of(storage, object_id, len(data)), storage.address)
    return await result_of(runner)


async def media_of(path: Path, storage: Storage) -> tuple[str, media_pb2.MediaInfo]:
    with FileSource(path) as source:
        info = await probe(source, sandbox=RlimitSandbox())
    return await storage.put(path.read_bytes()), convert_media.media_info(info)


async def test_a_probe_says_what_the_source_is(storage, runner, index_last_mp4):
    result = await probed(index_last_mp4.read_bytes(), storage, runner)
    assert (result.attempt, result.fencing_token) == (ATTEMPT, 7)
    assert result.probe.media.index_last
    assert [s.codec for s in result.probe.media.streams] == ["h264", "aac"]
    assert (await runner.wait()).code == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "CORRUPT_SOURCE"),
        (b"this is a text\n" * 50, "UNSUPPORTED_SOURCE"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", "UNSUPPORTED_SOURCE"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "UNSUPPORTED_SOURCE"),
    ],
    ids=["empty", "text", "ffconcat", "hls"],
)
async def test_what_is_no_video_fails_for_good(storage, runner, data, reason):
    failure = (await probed(data, storage, runner)).failure
    assert (failure.reason, failure.retryable) == (reason, False)
    assert failure.message


async def test_a_source_is_encoded_from_storage_to_storage(storage, runner, index_last_mp4):
    object_id, media = await media_of(index_last_mp4, storage)
    sink = storage.grant(MediaAction.WRITE)
    runner.assign(transcode_of(storage, object_id, media, "h264-480p", sink), storage.address)
    said = await all_said(runner)
    phases = [s.phase for s in said if isinstance(s, AttemptReport)]
    assert phases[0] is AttemptPhase.ENCODING
    assert phases[-1] is AttemptPhase.FINISHING
    assert isinstance(said[-1], SealedResult)
    done = wire.unseal(said[-1]).transcode
    assert done.object == sink.object_name
    assert done.frame_count == 50
    output = await storage.get(sink.object_name.removeprefix("objects/"))
    assert len(output) == done.size_bytes
    assert output[4:8] == b"ftyp"
    assert output.index(b"moov") < output.index(b"mdat")
    with av.open(io.BytesIO(output), "r") as opened:
        assert len(list(opened.decode(video=0))) == 50


async def test_a_source_is_encoded_while_it_is_uploaded_and_a_wait_is_no_stall(
    storage, runner, index_last_mp4
):
    data = index_last_mp4.read_bytes()
    _, media = await media_of(index_last_mp4, storage)
    index = data.rindex(b"moov") - 4
    sink = storage.grant(MediaAction.WRITE)
    async with storage.upload(data) as upload:
        await upload.send(index, len(data))
        await upload.send(0, index // 2)
        work = transcode_of(storage, upload.object_id, media, "h264-480p", sink, stall_s=2.0)
        runner.assign(work, storage.address)
        async with asyncio.timeout(60):
            async for said in runner.said():
                if isinstance(said, SealedResult):
                    break
                if said.phase is AttemptPhase.ENCODING and not upload.is_complete:
                    # A second each goes by, together more than what would be a stall.
                    for _ in range(3):
                        await storage.sign_of_waiting(upload.object_id, index - 1)
                    await upload.send(index // 2, index)
                    await upload.complete()
    done = wire.unseal(said).transcode
    assert done.frame_count == 50
    assert done.source_wait.ToTimedelta() > timedelta(seconds=2.0)
    assert await storage.get(sink.object_name.removeprefix("objects/"))


@pytest.mark.parametrize("kept", [0, 1000])
async def test_a_source_that_was_cut_short_in_storage_fails_for_good(
    storage, runner, index_last_mp4, kept
):
    object_id, media = await media_of(index_last_mp4, storage)
    stored = storage.content(object_id)
    size_bytes = stored.stat().st_size
    os.truncate(stored, kept)
    sink = storage.grant(MediaAction.WRITE)
    runner.assign(transcode_of(storage, object_id, media, "h264-480p", sink), storage.address)
    failure = (await result_of(runner)).failure
    assert (failure.reason, failure.retryable) == ("OBJECT_DAMAGED", False)
    assert f"objects/{object_id} is damaged: {kept} of {size_bytes} bytes" in failure.message


def _flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset : offset + 8] = bytes(byte ^ 255 for byte in data[offset : offset + 8])
    path.write_bytes(data)


async def test_a_source_whose_bytes_changed_in_storage_fails_for_good(
    storage, runner, index_last_mp4, tmp_path
):
    # Of a source that is fed in its own order a digest is made on the way.
    in_order = tmp_path / "in-order.mp4"
    copy = ["-c", "copy", "-movflags", "+faststart"]
    await asyncio.to_thread(
        subprocess.run,
        [bundled_ffmpeg(), "-v", "error", "-i", index_last_mp4, *copy, in_order],
        check=True,
    )
    object_id, media = await media_of(in_order, storage)
    stored = storage.content(object_id)
    _flip(stored, stored.stat().st_size // 2)
    sink = storage.grant(MediaAction.WRITE)
    runner.assign(transcode_of(storage, object_id, media, "h264-480p", sink), storage.address)
    failure = (await result_of(runner)).failure
    assert (failure.reason, failure.retryable) == ("OBJECT_DAMAGED", False)
    assert f"objects/{object_id} is damaged: its bytes have the SHA-256" in failure.message
    assert f"'dcctl objects rm {object_id}'" in failure.message


async def test_an_index_that_changed_in_storage_is_not_taken_for_a_bad_video(
    storage, runner, index_last_mp4
):
    data = index_last_mp4.read_bytes()
    object_id = await storage.put(data)
    _flip(storage.content(object_id), data.rindex(b"moov") - 4)
    runner.assign(probe_of(storage, object_id, len(data)), storage.address)
    failure = (await result_of(runner)).failure
    assert (failure.reason, failure.retryable) == ("OBJECT_DAMAGED", False)


async def test_a_source_that_was_cut_short_is_not_probed(storage, runner, index_last_mp4):
    data = index_last_mp4.read_bytes()
    object_id = await storage.put(data)
    storage.content(object_id).unlink()
    runner.assign(probe_of(storage, object_id, len(data)), storage.address)
    failure = (await result_of(runner)).failure
    assert (failure.reason, failure.retryable) == ("OBJECT_DAMAGED", False)


async def test_of_an_upload_that_proves_corrupt_nothing_is_committed(
    storage, runner, index_last_mp4
):
    data = index_last_mp4.read_bytes()
    _, media = await media_of(index_last_mp4, storage)
    sink = storage.grant(MediaAction.WRITE)
    async with storage.upload(data) as upload:
        await upload.send(0, len(data))
        work = transcode_of(storage, upload.object_id, media, "h264-480p", sink)
        runner.assign(work, storage.address)
        result = asyncio.create_task(result_of(runner))
        with pytest.raises(grpc.aio.AioRpcError):
            await upload.complete(sha256="0" * 64)
        failure = (await result).failure
    assert (failure.reason, failure.retryable) == ("UPLOAD_FAILED", False)
    assert "not what was sent" in failure.message
    with pytest.raises(grpc.aio.AioRpcError, match="does not exist"):
        await storage.get(sink.object_name.removeprefix("objects/"))


@pytest.fixture
def seeking_mov(index_last_mp4: Path, tmp_path: Path) -> Path:
    """The clip with its index compressed, which no pipe can carry."""
    path = tmp_path / "seeking.mov"
    path.write_bytes(with_compressed_index(index_last_mp4.read_bytes()))
    return path


async def test_a_probe_says_what_keeps_a_source_from_a_pipe(storage, runner, seeking_mov):
    result = await probed(seeking_mov.read_bytes(), storage, runner)
    assert "compressed index" in result.probe.media.pipe_obstacle


@pytest.mark.parametrize("room", [1 << 30, 1], ids=["roomy", "crowded"])
@pytest.mark.parametrize("profile", ["h264-480p", "copy"])
async def test_a_source_that_needs_seeking_is_encoded_as_a_file(
    storage, runner, seeking_mov, tmp_path, profile, room
):
    object_id, media = await media_of(seeking_mov, storage)
    sink = storage.grant(MediaAction.WRITE)
    work = transcode_of(storage, object_id, media, profile, sink, by_file=room)
    runner.assign(work, storage.address)
    said = await all_said(runner)
    phases = [s.phase for s in said if isinstance(s, AttemptReport)]
    assert phases == sorted(phases)
    assert phases[0] is AttemptPhase.STARTING  # as long as it is downloaded
    assert phases[-1] is AttemptPhase.FINISHING
    assert isinstance(said[-1], SealedResult)
    done = wire.unseal(said[-1]).transcode
    assert (done.frame_count, done.source_census.read_bytes) == (50, seeking_mov.stat().st_size)
    output = await storage.get(sink.object_name.removeprefix("objects/"))
    with av.open(io.BytesIO(output), "r") as opened:
        assert len(list(opened.decode(video=0))) == 50
    assert not list((tmp_path / "scratch").iterdir())


@pytest.fixture
def mxf(tmp_path: Path) -> Path:
    """Two seconds as broadcasters keep them."""
    path = tmp_path / "clip.mxf"
    subprocess.run(
        [str(bundled_ffmpeg()), "-v", "error", "-nostdin"]
        + ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2"]
        + ["-f", "lavfi", "-i", "sine=sample_rate=48000:duration=2"]
        + ["-c:v", "mpeg2video", "-c:a", "pcm_s16le", str(path)],
        check=True,
    )
    return path


async def test_an_mxf_is_encoded_as_a_file(storage, runner, mxf):
    object_id, media = await media_of(mxf, storage)
    sink = storage.grant(MediaAction.WRITE)
    work = transcode_of(storage, object_id, media, "h264-480p", sink, by_file=1 << 30)
    runner.assign(work, storage.address)
    result = await result_of(runner)
    assert result.transcode.frame_count == 50, result.failure


async def test_the_same_task_gives_the_same_bytes_either_way(storage, tmp_path, index_last_mp4):
    object_id, media = await media_of(index_last_mp4, storage)
    outputs = set()
    for room in (0, 1 << 30):
        async with started_runner(tmp_path / str(room)) as process:
            sink = storage.grant(MediaAction.WRITE)
            work = transcode_of(storage, object_id, media, "h264-480p", sink, by_file=room)
            process.assign(work, storage.address)
            outputs.add((await result_of(process)).transcode.sha256)
    assert len(outputs) == 1
    assert outputs != {""}


async def test_a_file_that_is_cut_short_fails_as_such_and_leaves_nothing(
    storage, runner, seeking_mov, tmp_path
):
    _, media = await media_of(seeking_mov, storage)
    data = bytearray(seeking_mov.read_bytes())
    at = data.index(b"mdat") + 4
    data[at : at + len(data) // 2] = bytes(len(data) // 2)
    object_id = await storage.put(bytes(data))
    sink = storage.grant(MediaAction.WRITE)
    work = transcode_of(storage, object_id, media, "h264-480p", sink, by_file=1 << 30)
    runner.assign(work, storage.address)
    failure = (await result_of(runner)).failure
    assert failure.reason in ("CORRUPT_SOURCE", "ENCODE_FAILED", "VERIFICATION_FAILED")
    assert not list((tmp_path / "scratch").iterdir())
    with pytest.raises(grpc.aio.AioRpcError, match="does not exist"):
        await storage.get(sink.object_name.removeprefix("objects/"))


async def test_cancelling_removes_the_files(storage, runner, seeking_mov, tmp_path):
    object_id, media = await media_of(seeking_mov, storage)
    sink = storage.grant(MediaAction.WRITE)
    work = transcode_of(storage, object_id, media, "av1", sink, by_file=1 << 30)
    runner.assign(work, storage.address)
    seen: list[Path] = []
    async with asyncio.timeout(30):
        async for said in runner.said():
            if isinstance(said, AttemptReport) and said.phase is AttemptPhase.ENCODING and not seen:
                seen = list((tmp_path / "scratch").rglob("source"))
                runner.cancel()
    assert len(seen) == 1
    assert (await runner.wait()).code == 0
    assert not list((tmp_path / "scratch").iterdir())


async def test_cancelling_ends_ffmpeg_and_leaves_nothing(storage, runner, index_last_mp4):
    object_id, media = await media_of(index_last_mp4, storage)
    sink = storage.grant(MediaAction.WRITE)
    runner.assign(transcode_of(storage, object_id, media, "av1", sink), storage.address)
    children: list[psutil.Process] = []
    async with asyncio.timeout(30):
        async for said in runner.said():
            if isinstance(said, AttemptReport) and not children:
                children = psutil.Process(runner.pid).children(recursive=True)
                runner.cancel()
            assert not isinstance(said, SealedResult)
    assert children
    assert (await runner.wait()).code == 0
    assert not [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]


async def test_killing_a_runner_takes_its_children_with_it(storage, runner, index_last_mp4):
    object_id, media = await media_of(index_last_mp4, storage)
    sink = storage.grant(MediaAction.WRITE)
    runner.assign(transcode_of(storage, object_id, media, "av1", sink), storage.address)
    async with asyncio.timeout(30):
        async for _ in runner.said():
            children = psutil.Process(runner.pid).children(recursive=True)
            psutil.Process(runner.pid).kill()
            break
    assert (await runner.wait()).code == -9
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []


async def test_an_impossible_profile_says_what_to_use(storage, runner, index_last_mp4):
    object_id, media = await media_of(index_last_mp4, storage)
    del media.streams[0]  # no video any more
    sink = storage.grant(MediaAction.WRITE)
    runner.assign(transcode_of(storage, object_id, media, "h264-480p", sink), storage.address)
    failure = (await result_of(runner)).failure
    assert (failure.reason, failure.retryable) == ("IMPOSSIBLE_PROFILE", False)
    assert "audio-aac" in failure.message


async def test_a_runner_whose_supervisor_dies_before_its_attempt_ends(runner):
    runner.cancel()
    async with asyncio.timeout(20):
        assert (await runner.wait()).code == 0
