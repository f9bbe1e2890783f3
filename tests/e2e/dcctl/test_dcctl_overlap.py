"""Upload, encode and download at once, over a line that is slow on the way up."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import psutil
import pytest
from tests.e2e.conftest import Clips, Run, Up, leftovers

from distconv.client import Client, Job, JobState

# A clip of some 3 MB takes 10 s on the way up.
_RATE_BYTES_PER_S = 300_000


class SlowLine:
    """A way to a server on which bytes go up slowly, and come down as they will."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._loop = asyncio.new_event_loop()
        self._free_at = 0.0

    @contextmanager
    def open(self) -> Iterator[str]:
        """Listen; yield where."""
        server = self._loop.run_until_complete(asyncio.start_server(self._carry, "127.0.0.1", 0))
        thread = threading.Thread(target=self._loop.run_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            server.close()
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()

    async def _carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, out = await asyncio.open_connection(self._host, self._port)
        await asyncio.gather(
            self._pump(near, out, slowly=True), self._pump(far, back, slowly=False)
        )

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, slowly: bool
    ) -> None:
        try:
            while data := await source.read(16 * 1024):
                if slowly:
                    now = self._loop.time()
                    self._free_at = max(now, self._free_at) + len(data) / _RATE_BYTES_PER_S
                    await asyncio.sleep(self._free_at - now)
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()


@pytest.fixture(scope="module")
def index_last(clips: Clips) -> Path:
    path = clips._make("index-last.mp4", seconds=20, size="480x270")
    data = path.read_bytes()
    assert data.index(b"mdat") < data.index(b"moov")
    return path


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile whose output begins to flow after a second of media."""
    path = tmp_path_factory.mktemp("profiles") / "prompt.toml"
    path.write_text(
        '[prompt]\nextends = "h264-480p"\nvideo = { preset = "veryfast", crf = 12, gop_s = 1 }\n'
    )
    return path


def _transcode(
    start: Callable[..., Run], address: str, source: Path, profile: Path, out: Path
) -> Run:
    return start(
        "transcode", source, "-o", out, "-p", profile, "--server", address, "--progress", "json"
    )


def _events(run: Run, stderr: str) -> list[dict[str, Any]]:
    lines = [line for line in [*run.seen, *stderr.splitlines()] if line.startswith("{")]
    return [json.loads(line) for line in lines]


def _first(events: list[dict[str, Any]], wanted: Callable[[dict[str, Any]], Any]) -> int:
    return next(n for n, event in enumerate(events) if wanted(event))


def _written(event: dict[str, Any]) -> int:
    return int((event.get("job", {}).get("progress") or {}).get("written_bytes", 0))


async def _end_of(address: str, name: str) -> Job:
    async with Client(address) as client, asyncio.timeout(60):
        job = await client.get_job(name)
        async for job in client.watch_job(name):  # noqa: B007  # the last one is wanted
            pass
        return job


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_all_three_go_on_at_once_and_the_result_is_what_the_server_has(
    start: Callable[..., Run],
    farm: Up,
    index_last: Path,
    profile: Path,
    tmp_path: Path,
    ending: str,
) -> None:
    out = tmp_path / f"a.{ending}"
    with SlowLine(farm.address).open() as address:
        run = _transcode(start, address, index_last, profile, out)
        code, _, stderr = run.end()
    assert code == 0, stderr
    events = _events(run, stderr)
    uploaded = _first(
        events, lambda e: e["event"] == "upload" and e["done_bytes"] == e["total_bytes"]
    )
    assert _first(events, lambda e: _written(e) > 0) < uploaded
    # And what comes down before the source is whole comes before the encode has ended.
    assert _first(events, lambda e: e["event"] == "download" and e["done_bytes"]) < uploaded
    with av.open(str(out)) as opened:
        assert sum(1 for _ in opened.decode(video=0)) == 500
    assert leftovers(tmp_path) == [out.name]


def test_a_source_that_changes_on_its_way_up_publishes_nothing(
    start: Callable[..., Run], farm: Up, index_last: Path, profile: Path, tmp_path: Path
) -> None:
    source, out = tmp_path / "in" / "a.mp4", tmp_path / "out"
    source.parent.mkdir()
    out.mkdir()
    source.write_bytes(index_last.read_bytes())
    with SlowLine(farm.address).open() as address:
        run = _transcode(start, address, source, profile, out / "a.mkv")
        job = run.job_in("TRANSCODING")
        before = source.stat()
        with source.open("r+b") as file:  # what was sent first, and is digested last
            file.seek(-100, 2)
            file.write(b"\0" * 100)
        os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))  # its digest alone tells
        code, _, stderr = run.end()
    assert code != 0
    assert "not what was sent" in stderr
    assert leftovers(out) == []
    ended = asyncio.run(_end_of(farm.address, job["name"]))
    assert ended.state in (JobState.FAILED, JobState.CANCELLED)
    assert ended.output is None


def test_an_attempt_that_is_lost_on_the_way_is_followed_by_another(
    start: Callable[..., Run], farm: Up, index_last: Path, profile: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.mkv"
    with SlowLine(farm.address).open() as address:
        run = _transcode(start, address, index_last, profile, out)
        run.event(lambda e: e["event"] == "download" and e["done_bytes"] > 0)
        for child in psutil.Process(farm.process.pid).children(recursive=True):
            if "ffmpeg" in child.name():
                child.send_signal(signal.SIGKILL)
        again = run.event(lambda e: e["event"] == "download" and e["done_bytes"] == 0)
        assert again["total_bytes"] is None
        code, _, stderr = run.end()
    assert code == 0, stderr
    with av.open(str(out)) as opened:
        assert sum(1 for _ in opened.decode(video=0)) == 500
    assert leftovers(tmp_path) == [out.name]


def test_an_uploader_that_dies_fails_the_job_and_publishes_nothing(
    start: Callable[..., Run], index_last: Path, profile: Path, tmp_path: Path
) -> None:
    impatient = {"DISTCONV_STORAGE_FOLLOW_IDLE_S": "2", "DISTCONV_STORAGE_FOLLOW_SIGN_S": "0.5"}
    up = Up(tmp_path / "data", env=impatient)
    try:
        with SlowLine(up.address).open() as address:
            run = _transcode(start, address, index_last, profile, tmp_path / "a.mkv")
            job = run.job_in("TRANSCODING")
            run.kill()
        ended = asyncio.run(_end_of(up.address, job["name"]))
    finally:
        up.stop()
    assert ended.state is JobState.FAILED
    assert ended.error is not None
    assert ended.error.reason == "UPLOAD_FAILED"
    assert "stands still" in ended.error.message
    assert ended.output is None


async def test_an_upload_can_be_followed_into_a_file(
    farm: Up, clips: Clips, tmp_path: Path
) -> None:
    out = tmp_path / "copy.mkv"
    async with (
        Client(farm.address) as client,
        client.open_upload(clips.long) as upload,
        asyncio.TaskGroup() as group,
    ):
        following = group.create_task(client.follow_download(upload.object, out))
        stored = await upload.send()
        assert (await following).sha256 == stored.sha256
    assert out.read_bytes() == clips.long.read_bytes()
    assert leftovers(tmp_path) == [out.name]


def test_one_after_the_other_when_that_is_asked_for(
    start: Callable[..., Run], farm: Up, own_clip: Path, tmp_path: Path
) -> None:
    run = start(
        "transcode", own_clip, "-o", tmp_path / "a.mp4", "-p", "copy", "--server", farm.address,
        "--progress", "json", "--no-overlap",
    )  # fmt: skip
    code, _, stderr = run.end()
    assert code == 0, stderr
    kinds = [event["event"] for event in _events(run, stderr)]
    assert kinds == sorted(kinds, key=["upload", "job", "download"].index)
