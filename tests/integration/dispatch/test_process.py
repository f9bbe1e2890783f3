"""The process: what it prints, what it refuses, how it ends; and the storage it embeds."""

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import google_crc32c
import pytest
from click.testing import CliRunner

from distconv.core.clock import SystemClock
from distconv.core.errors import FailedPreconditionError, InvalidArgumentError, UnavailableError
from distconv.core.ids import new_id
from distconv.dispatch.main import main
from distconv.dispatch.objects.rpc import StorageObjects
from distconv.dispatch.replicas.presence import ReplicaPresence
from distconv.dispatch.serving import serving
from distconv.dispatch.settings import DispatchSettings
from distconv.dispatch.store.sql import SqlStore
from distconv.rpc.channel import bearer_metadata, open_channel
from distconv.rpc.errors import translated
from distconv.rpc.tokens import MediaTokens, load_or_make_key
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import job_pb2, object_pb2, storage_service_pb2
from distconv.v1.dispatch_service_pb2_grpc import DispatchServiceStub
from distconv.v1.storage_service_pb2_grpc import StorageServiceStub

from .conftest import Engine

DATA = b"not really a video" * 1000
CLOCK = SystemClock()
SECOND = "127.0.0.1:7499"


def _settings(folder: Path, **more: object) -> DispatchSettings:
    return DispatchSettings.model_validate(
        {"bind": "127.0.0.1:0", "data_dir": folder, "drain_grace_s": 0, **more}
    )


async def _upload(address: str) -> str:
    """Upload DATA as a client does; return the object's name."""
    async with open_channel(address) as channel:
        dispatch, storage = DispatchServiceStub(channel), StorageServiceStub(channel)
        request = pb.GrantMediaAccessRequest(action=object_pb2.MEDIA_ACTION_WRITE)
        access = (await dispatch.GrantMediaAccess(request)).access
        metadata = bearer_metadata(access.token)
        opened = await storage.CreateUpload(
            storage_service_pb2.CreateUploadRequest(object=access.object, size_bytes=len(DATA)),
            metadata=metadata,
        )
        chunk = object_pb2.Chunk(offset=0, data=DATA, crc32c=google_crc32c.value(DATA))

        async def chunks() -> AsyncIterator[storage_service_pb2.WriteRequest]:
            yield storage_service_pb2.WriteRequest(upload=opened.upload.name, chunk=chunk)

        async for _ in storage.Write(chunks(), metadata=metadata):
            pass
        await storage.CompleteUpload(
            storage_service_pb2.CompleteUploadRequest(
                name=opened.upload.name,
                size_bytes=len(DATA),
                sha256=hashlib.sha256(DATA).hexdigest(),
            ),
            metadata=metadata,
        )
        return access.object


async def test_it_embeds_storage_and_keeps_jobs_over_a_restart(tmp_path: Path) -> None:
    async with serving(_settings(tmp_path), SystemClock()) as address:
        source = await _upload(address)
        async with open_channel(address) as channel:
            job = job_pb2.Job(
                source=job_pb2.JobSource(object=source, file_name="clip.mp4"),
                profile="profiles/copy",
            )
            client = DispatchServiceStub(channel)
            made = (await client.CreateJob(pb.CreateJobRequest(job=job))).job
            assert made.source.size_bytes == len(DATA)
            info = await client.GetServerInfo(pb.GetServerInfoRequest())
            assert list(info.storage_addresses) == []
    settings = _settings(tmp_path)
    async with serving(settings, SystemClock()) as address, open_channel(address) as channel:
        found = await DispatchServiceStub(channel).GetJob(pb.GetJobRequest(name=made.name))
        assert found.job.name == made.name


async def test_storage_may_be_elsewhere_and_away(tmp_path: Path) -> None:
    settings = _settings(tmp_path, storage_addresses=["127.0.0.1:1"])
    async with serving(settings, SystemClock()) as address, open_channel(address) as channel:
        client = DispatchServiceStub(channel)
        info = await client.GetServerInfo(pb.GetServerInfoRequest())
        assert list(info.storage_addresses) == ["127.0.0.1:1"]
        access = await client.GrantMediaAccess(
            pb.GrantMediaAccessRequest(action=object_pb2.MEDIA_ACTION_WRITE)
        )
        assert list(access.access.storage_addresses) == ["127.0.0.1:1"]
        job = job_pb2.Job(
            source=job_pb2.JobSource(object=access.access.object, file_name="a"),
            profile="profiles/copy",
        )
        with pytest.raises(UnavailableError) as caught, translated():
            await client.CreateJob(pb.CreateJobRequest(job=job))
        assert "no storage answers at 127.0.0.1:1 (Connection refused); " in caught.value.message


async def test_of_several_storage_services_that_are_away_all_are_named() -> None:
    tokens = MediaTokens(bytes(32), SystemClock())
    objects = StorageObjects(lambda: ["127.0.0.1:1", "127.0.0.1:2"], tokens)
    try:
        with pytest.raises(UnavailableError) as caught:
            await objects.stat("local", "x")
    finally:
        await objects.close()
    assert caught.value.message.startswith(
        "none of the storage services at 127.0.0.1:1, 127.0.0.1:2 can be asked; the last of them: "
        "no storage answers at 127.0.0.1:2 (Connection refused); "
    )


async def test_a_drain_names_a_replica_that_began_since_the_last_look(tmp_path: Path) -> None:
    settings = _one_of_several(tmp_path)
    async with serving(settings, CLOCK) as address:
        engine = Engine(address, new_id(CLOCK.now()))
        await engine.hello()
        await _second_enters(settings)
        hearing = asyncio.create_task(engine.hear("drain"))
    assert list((await hearing).drain.dispatch_addresses) == [SECOND]
    await engine.vanish()


async def _fail(_: ReplicaPresence) -> None:
    raise UnavailableError("the database is away")


async def _hang(_: ReplicaPresence) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("look", [_fail, _hang])
async def test_a_drain_without_the_database_names_those_of_the_last_look(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    look: Callable[[ReplicaPresence], Awaitable[None]],
) -> None:
    settings = _one_of_several(tmp_path)
    await _second_enters(settings)
    async with serving(settings, CLOCK) as address:
        engine = Engine(address, new_id(CLOCK.now()))
        await engine.hello()
        monkeypatch.setattr(ReplicaPresence, "look", look)
        hearing = asyncio.create_task(engine.hear("drain"))
    assert list((await hearing).drain.dispatch_addresses) == [SECOND]
    await engine.vanish()


def _one_of_several(folder: Path) -> DispatchSettings:
    """Return settings of a replica that looks for others when it starts and never again."""
    return _settings(
        folder, storage_addresses=["127.0.0.1:1"], presence_interval_s=300, drain_grace_s=10
    )


async def _second_enters(settings: DispatchSettings) -> None:
    """Have another replica on the same database tell of itself."""
    store = await SqlStore.open_sqlite(settings.database)
    presence = ReplicaPresence(
        store,
        CLOCK,
        replica_id=new_id(CLOCK.now()),
        media_key=load_or_make_key(settings.key_file),
        storage_addresses=settings.storage_addresses,
        interval=settings.presence_interval,
    )
    await presence.enter(SECOND)
    await store.close()


async def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    async with serving(_settings(tmp_path), SystemClock()):
        second = serving(_settings(tmp_path), SystemClock())
        with pytest.raises(FailedPreconditionError, match="another dispatch"):
            await second.__aenter__()


async def test_users_profiles_are_read_from_the_folder(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    (profiles / "mine.toml").write_text('[mine]\nextends = "h264-720p"\n')
    settings = _settings(tmp_path)
    async with serving(settings, SystemClock()) as address, open_channel(address) as channel:
        client = DispatchServiceStub(channel)
        found = await client.GetProfile(pb.GetProfileRequest(name="profiles/mine"))
        assert found.profile.video.max_height == 720
    (profiles / "mine.toml").write_text("[mine]\nvideo = 7\n")
    with pytest.raises(InvalidArgumentError, match=r"mine\.toml"):
        await serving(_settings(tmp_path), SystemClock()).__aenter__()


def test_settings_are_shown_with_their_sources(tmp_path: Path) -> None:
    config = tmp_path / "distconv.toml"
    config.write_text("[dispatch]\nlease_duration_s = 33\n")
    shown = CliRunner().invoke(
        main,
        ["--config", str(config), "--bind", "127.0.0.1:1", "--show-config"],
        env={"DISTCONV_DISPATCH_STORAGE_ADDRESSES": "127.0.0.1:2,127.0.0.1:3"},
    )
    assert shown.exit_code == 0
    lines = {line.split(" = ")[0]: line for line in shown.stdout.splitlines()}
    assert f"# file {config}" in lines["lease_duration_s"]
    assert "# flag" in lines["bind"]
    assert "('127.0.0.1:2', '127.0.0.1:3')" in lines["storage_addresses"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--bind", "nonsense"], 2, "not an address"),
        (["--bind", "0.0.0.0:7400"], 2, "refusing to listen"),
        (["--config", "/nowhere.toml"], 2, "cannot read"),
        (["--data-dir", "/proc/nowhere"], 1, "cannot be used"),
    ],
)
def test_what_cannot_start_says_why(
    tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    # A later --data-dir counts.
    refused = CliRunner().invoke(main, ["--data-dir", str(tmp_path), *arguments])
    assert refused.exit_code == code
    assert message in refused.stderr
    assert "Traceback" not in refused.output


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "dispatch.db").write_bytes(b"garbage" * 1000)
    refused = CliRunner().invoke(main, ["--data-dir", str(tmp_path), "--bind", "127.0.0.1:0"])
    assert refused.exit_code == 1
    assert "is damaged" in refused.stderr


@asynccontextmanager
async def _process(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    command = "import sys; from distconv.dispatch.main import main; sys.exit(main())"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", command, "--data-dir", str(folder), "--bind", "127.0.0.1:0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_it_says_when_it_is_ready_and_ends_when_it_is_told(tmp_path: Path) -> None:
    async with _process(tmp_path) as process:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            ready = json.loads(await process.stdout.readline())
        assert ready["event"] == "ready"
        async with open_channel(ready["address"]) as channel:
            client = DispatchServiceStub(channel)
            info = await client.GetServerInfo(pb.GetServerInfoRequest())
            assert info.version == ready["version"]
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
        assert await process.stdout.read() == b""


async def test_it_starts_without_a_stdin(tmp_path: Path) -> None:
    """libuv aborts a process in which its own files became 0, 1 or 2."""
    command = f'exec "$0" -m distconv.dispatch.main --bind 127.0.0.1:0 --data-dir {tmp_path} <&-'
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", command, sys.executable, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert json.loads(await process.stdout.readline())["event"] == "ready"
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == os.EX_OK
