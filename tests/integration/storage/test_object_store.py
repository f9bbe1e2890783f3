"""Storage on a bucket: two processes' worth of services on it, and an object store in trouble."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.faulty_s3 import Fault, FaultyS3, faulty_s3

from distconv.core.errors import (
    DiskFullError,
    DistconvError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from distconv.rpc.tokens import MediaAction
from distconv.storage.providers.object_bucket import Bucket
from distconv.storage.providers.object_connect import BucketOptions, connect
from distconv.storage.providers.object_store import ObjectStoreProvider
from distconv.storage.testing import Caller, RunningStorage, cut, running_storage
from distconv.storage.threads import Threads
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb
from servers import S3Server, free_port

CONTENT = os.urandom(3_000_001)


@pytest.fixture(autouse=True)
def _credentials(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def faulty(s3: S3Server) -> Iterator[FaultyS3]:
    with faulty_s3(s3.address) as proxy:
        yield proxy


def _settings(s3: S3Server, bucket: str, *, endpoint: str = "") -> dict[str, Any]:
    return {
        "bucket_url": f"s3://{bucket}/media",
        "bucket_endpoint": endpoint or s3.url,
        "bucket_patience_s": 0.2,
        "segment_delay_s": 0.01,
        "follow_sign_s": 0.1,
        "watch_interval_s": 0.02,
    }


@pytest.fixture
async def two(s3: S3Server, tmp_path: Path) -> AsyncIterator[tuple[RunningStorage, RunningStorage]]:
    settings = _settings(s3, s3.new_bucket())
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(running_storage(tmp_path, **settings)) for _ in range(2)
        ]
        yield one, other


async def test_an_upload_goes_on_at_the_other_and_both_read_it(
    two: tuple[RunningStorage, RunningStorage],
) -> None:
    one, other = two
    chunks = cut(CONTENT)
    async with one.caller() as here, other.caller() as there:
        upload = await here.create(len(CONTENT))
        await here.write(upload, chunks[1::2])
        await there.write(upload, chunks[0:10:2])
        found = await here.get_upload(upload)
        assert list(found.received) == list((await there.get_upload(upload)).received)
        await here.write(upload, chunks[10::2])
        stored = await there.complete(upload, CONTENT)
        assert await here.complete(upload, CONTENT) == stored
        assert await here.read() == await there.read() == [CONTENT]
        assert await there.read([(1_000_000, 5), (0, 3)]) == [
            CONTENT[1_000_000:1_000_005],
            CONTENT[:3],
        ]


async def test_an_upload_at_one_is_followed_at_the_other(
    two: tuple[RunningStorage, RunningStorage],
) -> None:
    one, other = two
    chunks = cut(CONTENT)
    async with one.caller() as here, other.caller() as there:
        upload = await here.create(len(CONTENT))
        read = bytearray()
        committed: list[object_pb2.Object] = []
        first = asyncio.Event()

        async def follow() -> None:
            async for response in there.follow((0, 0)):
                read.extend(response.chunk.data)
                if response.HasField("object"):
                    committed.append(response.object)
                first.set()

        following = asyncio.create_task(follow())
        await first.wait()
        await here.write(upload, chunks[:20])
        await here.write(upload, chunks[20:])
        await here.complete(upload, CONTENT)
        await following
        assert bytes(read) == CONTENT
        assert committed[-1].state == object_pb2.OBJECT_STATE_COMMITTED


async def test_only_the_content_and_its_record_are_left_in_the_bucket(
    s3: S3Server, tmp_path: Path
) -> None:
    name = s3.new_bucket()
    async with (
        running_storage(tmp_path, **_settings(s3, name)) as storage,
        storage.caller() as caller,
    ):
        await caller.put(CONTENT)
        given_up = await caller.create(object_id="0other")
        await caller.write(given_up, cut(CONTENT))
        await caller.abort(given_up)
        bucket = _bucket(s3.url, name)
        kinds = [each.path.split("/")[2] for each in await bucket.list("")]
        assert sorted(kinds) == ["contents", "data", "objects"]
        with pytest.raises(NotFoundError):
            await caller.get_upload(given_up)
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["lock"]


def _bucket(endpoint: str, name: str) -> Bucket:
    return connect(BucketOptions(url=f"s3://{name}/media", endpoint=endpoint))


async def test_a_signed_url_fetches_the_object(
    two: tuple[RunningStorage, RunningStorage],
) -> None:
    async with two[0].caller() as caller:
        await caller.put(CONTENT)
        answer = await caller.stub.GetUrl(
            pb.GetUrlRequest(name="objects/0abcdefgh1234567"),
            metadata=caller.token(MediaAction.READ),
        )
    assert answer.url.startswith("http://127.0.0.1:")
    assert "X-Amz-Signature=" in answer.url


async def test_a_signed_url_holds_no_longer_than_the_token(
    two: tuple[RunningStorage, RunningStorage],
) -> None:
    request = pb.GetUrlRequest(name="objects/0abcdefgh1234567")
    request.ttl.FromTimedelta(timedelta(days=7))
    async with two[0].caller() as caller:
        await caller.put(CONTENT)
        end = datetime.now(UTC) + timedelta(minutes=5)
        token = caller.token(MediaAction.READ, ttl=timedelta(minutes=5))
        answer = await caller.stub.GetUrl(request, metadata=token)
    assert answer.expire_time.ToDatetime(tzinfo=UTC) <= end + timedelta(seconds=1)
    (seconds,) = parse_qs(urlsplit(answer.url).query)["X-Amz-Expires"]
    assert int(seconds) <= 300


async def test_what_is_written_while_the_object_store_fails_is_refused_not_lost(
    s3: S3Server, faulty: FaultyS3, tmp_path: Path
) -> None:
    settings = _settings(s3, s3.new_bucket(), endpoint=faulty.url)
    chunks = cut(CONTENT)
    async with running_storage(tmp_path, **settings) as storage, storage.caller() as caller:
        upload = await caller.create(len(CONTENT))
        await caller.write(upload, chunks[:10])
        faulty.fault = Fault(503, "SlowDown")
        with pytest.raises(UnavailableError, match=r"failed at .* \(503 SlowDown\); try again"):
            await _write_once(caller, upload, chunks[10:])
        faulty.fault = None
        found = await caller.get_upload(upload)
        assert [(r.offset, r.length) for r in found.received] == [(0, 10 * len(chunks[0].data))]
        await caller.write(upload, chunks[10:])
        faulty.fault = Fault(503, "SlowDown", methods=("PUT", "POST"))
        with pytest.raises(UnavailableError, match="SlowDown"):
            await caller.complete(upload, CONTENT)
        faulty.fault = None
        await caller.complete(upload, CONTENT)
        faulty.fault = Fault(500, "InternalError")
        with pytest.raises(UnavailableError, match="500 InternalError"):
            await caller.read()
        faulty.fault = None
        assert await caller.read() == [CONTENT]


async def _write_once(
    caller: Caller, upload: object_pb2.Upload, chunks: list[object_pb2.Chunk]
) -> None:
    await caller._write(upload, chunks)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault(403, "InvalidAccessKeyId"), UnavailableError, "refuses storage at .*InvalidAccess"),
        (Fault(403, "AccessDenied", ("PUT",)), UnavailableError, "allow to read, write, list"),
        (Fault(404, "NoSuchBucket"), UnavailableError, "does not exist; create it"),
        (Fault(503, "SlowDown"), UnavailableError, "503 SlowDown"),
        (Fault(507, "XMinioStorageFull", ("PUT",)), DiskFullError, "no room left"),
    ],
)
async def test_a_start_on_a_bucket_that_is_not_fit_says_why(
    s3: S3Server,
    faulty: FaultyS3,
    tmp_path: Path,
    fault: Fault,
    kind: type[DistconvError],
    words: str,
) -> None:
    settings = _settings(s3, s3.new_bucket(), endpoint=faulty.url)
    faulty.fault = fault
    with pytest.raises(kind, match=words):
        async with running_storage(tmp_path, **settings):
            pass


async def test_a_bucket_that_is_absent_or_out_of_reach_is_told_at_the_start(
    s3: S3Server, tmp_path: Path
) -> None:
    with pytest.raises(UnavailableError, match="bucket of s3://absent/media does not exist"):
        async with running_storage(tmp_path, **_settings(s3, "absent")):
            pass
    nowhere = _settings(s3, "media", endpoint=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UnavailableError, match="cannot be reached; see that it runs"):
        async with running_storage(tmp_path, **nowhere):
            pass


async def test_an_object_store_that_ignores_conditions_is_refused(
    s3: S3Server, faulty: FaultyS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def put(self: Bucket, path: str, data: bytes, *, key: str, create: bool = False) -> None:
        await plain(self, path, data, key=key)

    plain = Bucket.put
    monkeypatch.setattr(Bucket, "put", put)
    threads = Threads(1)
    bucket = _bucket(s3.url, s3.new_bucket())
    with pytest.raises(UnavailableError, match="ignores the condition"):
        await ObjectStoreProvider(bucket, tmp_path / "scratch", threads).start()
    threads.close()
    assert await bucket.list("") == []


@pytest.mark.parametrize(
    "setting",
    [
        {"bucket_url": "ftp://bucket/x"},
        {"bucket_url": "s3://"},
        {"bucket_url": "s3://key:secret@bucket/x"},
        {"bucket_url": "s3://bucket/x", "bucket_endpoint": "minio:9000"},
        {"bucket_url": "s3://bucket/x", "segment_bytes": 1024},
    ],
)
async def test_a_setting_that_is_none_is_refused(tmp_path: Path, setting: dict[str, Any]) -> None:
    with pytest.raises((ValueError, InvalidArgumentError)):
        async with running_storage(tmp_path, **setting):
            pass
