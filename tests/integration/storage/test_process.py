"""The installed command: killed, stopped, full disks."""

import asyncio
import json
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest

from distconv.core.clock import SystemClock
from distconv.core.errors import DiskFullError, FailedPreconditionError, NotFoundError
from distconv.core.ranges import RangeSet
from distconv.rpc.tokens import MediaTokens
from distconv.storage.testing import Caller, cut
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb

COMMAND = (sys.executable, "-m", "distconv.storage.main")
CONTENT = os.urandom(3_000_001)
KEY = bytes(range(32))


class Process:
    """A running distconv-storage."""

    def __init__(self, inner: asyncio.subprocess.Process, address: str) -> None:
        self.inner = inner
        self.caller = Caller(address, MediaTokens(KEY, SystemClock()))

    async def kill(self) -> None:
        self.inner.kill()
        await self.inner.wait()


def _arguments(folder: Path) -> list[str]:
    key_file = folder / "key"
    if not key_file.exists():
        key_file.write_bytes(KEY)
    return ["--bind", "127.0.0.1:0", "--data-dir", str(folder), "--media-key-file", str(key_file)]


@asynccontextmanager
async def started(
    folder: Path, *, key_folder: Path | None = None, file_limit: int | None = None
) -> AsyncIterator[Process]:
    arguments = _arguments(key_folder or folder)
    arguments[3] = str(folder)
    command = [*COMMAND, *arguments]
    if file_limit is not None:
        # the shell's ulimit counts in 1024 bytes
        command = ["bash", "-c", f'ulimit -f {file_limit // 1024}; exec "$@"', "-", *command]
    inner = await asyncio.create_subprocess_exec(
        *command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "DISTCONV_STORAGE_MIN_FREE_BYTES": "0"},
    )
    assert inner.stdout is not None
    ready = json.loads(await inner.stdout.readline())
    assert ready["event"] == "ready"
    process = Process(inner, ready["address"])
    try:
        yield process
    finally:
        await process.caller.close()
        if inner.returncode is None:
            inner.terminate()
        await inner.wait()


async def test_sigterm_ends_it_cleanly(tmp_path: Path) -> None:
    async with started(tmp_path) as process:
        await process.caller.put(CONTENT)
        process.inner.send_signal(signal.SIGTERM)
        assert await process.inner.wait() == 0
    async with started(tmp_path) as process:
        assert await process.caller.read() == [CONTENT]


@pytest.mark.parametrize("seed", range(3))
async def test_an_upload_survives_sigkill_with_all_that_was_acknowledged(
    tmp_path: Path, seed: int
) -> None:
    chunks = cut(CONTENT)
    sent = random.Random(seed).randrange(1, len(chunks))  # noqa: S311
    async with started(tmp_path) as process:
        upload = await process.caller.create(len(CONTENT))
        acknowledged = await _write_and_kill(process, upload, chunks[:sent])
    async with started(tmp_path) as process:
        found = await process.caller.get_upload(upload)
        received = RangeSet((r.offset, r.offset + r.length) for r in found.received)
        assert all(received.covers(*r) for r in acknowledged)
        rest = [c for c in chunks if not received.covers(c.offset, c.offset + len(c.data))]
        assert len(rest) < len(chunks)
        await process.caller.write(found, rest)
        await process.caller.complete(found, CONTENT)
        assert await process.caller.read() == [CONTENT]


async def _write_and_kill(
    process: Process, upload: object_pb2.Upload, chunks: list[object_pb2.Chunk]
) -> list[tuple[int, int]]:
    call = process.caller.begin_write(upload)
    await call.write(pb.WriteRequest(upload=upload.name))
    for piece in chunks:
        await call.write(pb.WriteRequest(chunk=piece))
    response = await call.read()
    assert isinstance(response, pb.WriteResponse)
    acknowledged = [(r.offset, r.offset + r.length) for r in response.acknowledged]
    await process.kill()
    call.cancel()
    return acknowledged


@pytest.mark.parametrize("delay_ms", [0, 2, 5, 12])
async def test_sigkill_while_completing_leaves_all_or_an_upload(
    tmp_path: Path, delay_ms: int
) -> None:
    async with started(tmp_path) as process:
        upload = await process.caller.create(len(CONTENT))
        await process.caller.write(upload, cut(CONTENT))
        completing = asyncio.create_task(process.caller.complete(upload, CONTENT))
        await asyncio.sleep(delay_ms / 1000)  # anywhere in the few ms that it takes
        await process.kill()
        await asyncio.gather(completing, return_exceptions=True)
    async with started(tmp_path) as process:
        with suppress(NotFoundError, FailedPreconditionError):  # not committed, then
            assert await process.caller.read() == [CONTENT]
        answer = await process.caller.complete(upload, CONTENT)
        assert answer.object.size_bytes == len(CONTENT)
        assert await process.caller.read() == [CONTENT]
    names = sorted(p.name for p in (tmp_path / "storage").rglob("*") if p.is_file())
    object_id = answer.object.name.removeprefix("objects/")
    entry = f"{len(CONTENT)}.{answer.object.sha256}.{object_id}.main"
    names.remove(entry)
    assert [name.partition(".")[0] for name in names] == [object_id, object_id, "lock"]


async def test_a_file_limit_is_a_full_disk_and_the_server_lives(tmp_path: Path) -> None:
    async with started(tmp_path, file_limit=1024 * 1024) as process:
        upload = await process.caller.create()
        with pytest.raises(DiskFullError, match="larger than"):
            await process.caller.write(upload, cut(CONTENT))
        await process.caller.abort(upload)
        small = CONTENT[:100_000]
        await process.caller.put(small)
        assert await process.caller.read() == [small]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system of its own cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(folder)], check=True)


async def test_a_full_disk_is_told_and_room_made_there_is_used(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        async with started(disk, key_folder=tmp_path) as process:
            caller = process.caller
            with pytest.raises(DiskFullError, match="finds no room"):
                await caller.create(len(CONTENT))
            upload = await caller.create()
            with pytest.raises(DiskFullError, match="the storage disk is full"):
                await caller.write(upload, cut(CONTENT))
            received = RangeSet(
                (r.offset, r.offset + r.length) for r in (await caller.get_upload(upload)).received
            )
            assert 0 < received.size_bytes < len(CONTENT)
            await caller.abort(upload)
            with pytest.raises(NotFoundError):
                await caller.read()
            await caller.put(CONTENT[:1_000_000])
            assert await caller.read() == [CONTENT[:1_000_000]]


def _run(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, **(env or {})},
    )


def test_the_settings_are_shown_with_their_sources(tmp_path: Path) -> None:
    config = tmp_path / "d.toml"
    config.write_text("[storage]\nmax_fragments = 7\n[dispatch]\nx = 1\n")
    shown = _run(
        *("--show-config", "--config", str(config), "--bind", "127.0.0.1:9"),
        env={"DISTCONV_STORAGE_IO_THREADS": "9"},
    )
    lines = {line.split(" = ")[0]: line for line in shown.stdout.splitlines()}
    assert shown.returncode == 0
    assert f"# file {config};" in lines["max_fragments"]
    assert "9" in lines["io_threads"]
    assert "# environment;" in lines["io_threads"]
    assert "# flag;" in lines["bind"]
    assert "# default;" in lines["upload_ttl_s"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--bind", "nonsense"], 2, "'nonsense' is not an address to listen on"),
        (["--bind", "0.0.0.0:0"], 2, "refusing to listen on 0.0.0.0:0"),
        (["--config", "/nonexistent.toml"], 2, "cannot read the settings /nonexistent.toml"),
        (["--data-dir", "/dev/null/x"], 1, "the storage disk failed"),
    ],
)
def test_a_bad_start_is_one_sentence(
    tmp_path: Path, arguments: list[str], code: int, sentence: str
) -> None:
    base = [] if "--data-dir" in arguments else ["--data-dir", str(tmp_path)]
    key = ["--media-key-file", str(tmp_path / "key")]
    ended = _run(*base, *key, *arguments)
    assert ended.returncode == code
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    async with started(tmp_path):
        second = await asyncio.to_thread(_run, *_arguments(tmp_path))
    assert second.returncode == 1
    assert "another storage process uses" in second.stderr


def test_a_key_that_is_too_short_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"short")
    ended = _run("--data-dir", str(tmp_path), "--media-key-file", str(tmp_path / "key"))
    assert ended.returncode == 2
    assert "has 5 bytes; it needs 32" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_help_is_quick() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert _run("--help").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 1.0
