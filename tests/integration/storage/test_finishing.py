"""Finishing with the real ffmpeg."""

import asyncio
import hashlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from distconv.core.errors import CorruptSourceError, NotFoundError
from distconv.media.ffmpeg import bundled_ffmpeg
from distconv.media.ports import BytesSource
from distconv.media.structure.check import check_structure
from distconv.storage.testing import Caller, RunningStorage, chunk, cut, running_storage
from distconv.v1 import object_pb2, profile_pb2

MP4 = object_pb2.FinishSpec(container=profile_pb2.CONTAINER_MP4)
MKV = object_pb2.FinishSpec(container=profile_pb2.CONTAINER_MKV)
_SOURCE = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=2", "-c:v", "libx264", "-g", "10")
_PIPED = {
    "mp4": ("-movflags", "frag_keyframe+delay_moov", "-f", "mp4", "pipe:1"),
    "mkv": ("-f", "matroska", "pipe:1"),
}


@pytest.fixture(scope="module")
def streamed() -> dict[str, bytes]:
    """What ffmpeg writes to a pipe."""
    ffmpeg = bundled_ffmpeg()
    assert ffmpeg is not None
    made = {}
    for name, options in _PIPED.items():
        command = [str(ffmpeg), "-nostdin", "-loglevel", "error", *_SOURCE, *options]
        made[name] = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return made


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[RunningStorage]:
    async with running_storage(tmp_path) as running:
        yield running


async def _send(caller: Caller, content: bytes, spec: object_pb2.FinishSpec) -> object_pb2.Upload:
    upload = await caller.create(finish=spec)
    await caller.write(upload, cut(content))
    return upload


async def test_a_fragmented_mp4_becomes_plain_and_index_first(
    caller: Caller, streamed: dict[str, bytes]
) -> None:
    upload = await _send(caller, streamed["mp4"], MP4)
    answer = await caller.complete(upload, streamed["mp4"])
    (content,) = await caller.read()
    assert b"moof" not in content
    assert not (await check_structure(BytesSource(content))).index_last
    assert answer.object.sha256 == hashlib.sha256(content).hexdigest()
    assert answer.object.size_bytes == len(content) == answer.report.census.read_bytes
    assert answer.report.received_sha256 == hashlib.sha256(streamed["mp4"]).hexdigest()
    assert answer.report.received_size_bytes == len(streamed["mp4"])
    assert answer.report.media.duration_s == pytest.approx(2.0)
    (census,) = answer.report.census.streams
    assert answer.report.census.complete
    assert (census.codec, census.packet_count) == ("h264", 50)
    assert await caller.complete(upload, streamed["mp4"]) == answer


async def test_a_streamed_matroska_gets_its_duration_and_cues(
    caller: Caller, streamed: dict[str, bytes]
) -> None:
    upload = await _send(caller, streamed["mkv"], MKV)
    answer = await caller.complete(upload, streamed["mkv"])
    (content,) = await caller.read()
    assert b"\x1c\x53\xbb\x6b" in content[:4096]  # Cues (RFC 9559), in front
    assert answer.report.media.duration_s == pytest.approx(2.0)
    assert answer.report.census.streams[0].packet_count == 50


@pytest.mark.parametrize("content", [b"", b"no video at all" * 1000], ids=["empty", "text"])
async def test_what_is_no_media_fails_for_good_and_leaves_nothing(
    caller: Caller, tmp_path: Path, content: bytes
) -> None:
    upload = await _send(caller, content, MP4)
    for _ in range(2):
        with pytest.raises(CorruptSourceError, match="finishing the output failed"):
            await caller.complete(upload, content)
    with pytest.raises(NotFoundError):
        await caller.read()
    left = [p for p in (tmp_path / "storage").rglob("*") if p.is_file() and p.name != "lock"]
    assert left == []


async def test_the_answer_survives_a_restart(tmp_path: Path, streamed: dict[str, bytes]) -> None:
    async with running_storage(tmp_path) as first, first.caller() as caller:
        upload = await _send(caller, streamed["mkv"], MKV)
        answer = await caller.complete(upload, streamed["mkv"])
    async with running_storage(tmp_path) as second, second.caller() as caller:
        assert await caller.complete(upload, streamed["mkv"]) == answer


async def test_stopping_in_the_middle_keeps_the_upload(
    tmp_path: Path, streamed: dict[str, bytes]
) -> None:
    async with running_storage(tmp_path) as first, first.caller() as caller:
        upload = await _send(caller, streamed["mp4"], MP4)
        completing = asyncio.create_task(caller.complete(upload, streamed["mp4"]))
        state = object_pb2.UPLOAD_STATE_OPEN
        while state == object_pb2.UPLOAD_STATE_OPEN:
            state = (await caller.get_upload(upload)).state
        assert state == object_pb2.UPLOAD_STATE_COMPLETING
    await asyncio.gather(completing, return_exceptions=True)
    assert not list((tmp_path / "storage" / "scratch").iterdir())
    async with running_storage(tmp_path) as second, second.caller() as caller:
        await caller.write(upload, [chunk(streamed["mp4"], 0, 10)])
        answer = await caller.complete(upload, streamed["mp4"])
        assert answer.report.census.streams[0].packet_count == 50
