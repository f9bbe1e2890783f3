"""Storage pools in buckets: beside a bucket, for several processes, and beside a folder."""

import asyncio
import os
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.faulty_s3 import Fault, faulty_s3

from distconv.core.errors import (
    FailedPreconditionError,
    NotFoundError,
    QuotaExceededError,
    UnavailableError,
    UnimplementedError,
)
from distconv.core.profile import Container
from distconv.rpc.errors import translated
from distconv.rpc.tokens import MediaAction
from distconv.storage.collector import CollectReason
from distconv.storage.names import Place
from distconv.storage.providers.object_bucket import Bucket
from distconv.storage.providers.object_connect import BucketOptions, connect
from distconv.storage.testing import (
    OBJECT_ID,
    Caller,
    FakeFinisher,
    RunningStorage,
    SteppedClock,
    cut,
    finished_content,
    running_storage,
)
from distconv.v1 import object_pb2, profile_pb2
from distconv.v1 import storage_service_pb2 as pb
from servers import S3Server

CONTENT = os.urandom(1_000_001)
CAPACITY = 1_500_000


@pytest.fixture(autouse=True)
def _credentials(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def cold(s3: S3Server) -> str:
    return f"s3://{s3.new_bucket()}/cold"


@pytest.fixture
def beside_a_folder(s3: S3Server, cold: str) -> dict[str, Any]:
    """Return settings of the main pool on disk, and of a pool in a bucket."""
    return {
        "bucket_endpoint": s3.url,
        "bucket_patience_s": 0.2,
        "segment_delay_s": 0.01,
        "follow_sign_s": 0.1,
        "watch_interval_s": 0.02,
        "pools": [f"cold={cold}"],
        "pool_capacities": [f"cold={CAPACITY}"],
        "tenant_pools": ["acme=cold"],
    }


@pytest.fixture
def beside_a_bucket(s3: S3Server, beside_a_folder: dict[str, Any]) -> dict[str, Any]:
    """Return settings of both pools in buckets."""
    return {**beside_a_folder, "bucket_url": f"s3://{s3.new_bucket()}/media"}


@pytest.fixture
def settings(
    beside: str, beside_a_folder: dict[str, Any], beside_a_bucket: dict[str, Any]
) -> dict[str, Any]:
    """Return settings of a pool in a bucket, beside what the test is told."""
    return beside_a_folder if beside == "a folder" else beside_a_bucket


@pytest.fixture
async def two(
    beside_a_bucket: dict[str, Any], tmp_path: Path
) -> AsyncIterator[tuple[RunningStorage, RunningStorage]]:
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(running_storage(tmp_path, **beside_a_bucket))
            for _ in range(2)
        ]
        yield one, other


def _bucket(s3: S3Server, url: str) -> Bucket:
    return connect(BucketOptions(url=url, endpoint=s3.url))


async def _kinds(bucket: Bucket) -> list[str]:
    """Return what lies in a bucket: objects of what kind, stagings, and marks."""
    paths = [each.path.split("/") for each in await bucket.list("")]
    return sorted(parts[2] if parts[0] == "objects" else parts[0] for parts in paths)


async def _pools(caller: Caller) -> dict[str, pb.StoragePool]:
    with translated():
        answer = await caller.stub.ListPools(
            pb.ListPoolsRequest(), metadata=caller.token(MediaAction.LIST, "")
        )
    return {pool.name: pool for pool in answer.pools}


async def _url(caller: Caller) -> str:
    with translated():
        answer = await caller.stub.GetUrl(
            pb.GetUrlRequest(name=f"objects/{OBJECT_ID}"), metadata=caller.token(MediaAction.READ)
        )
    return answer.url


async def _fetched(url: str) -> bytes:
    def fetch() -> bytes:
        with urllib.request.urlopen(url) as response:  # noqa: S310  # our own server's
            return bytes(response.read())

    return await asyncio.to_thread(fetch)


async def _put_segment(
    one: Caller, other: Caller, upload: object_pb2.Upload, start: int, end: int
) -> None:
    """Put a segment at a URL that one process signs, and confirm it at the other."""
    span = object_pb2.ByteRange(offset=start, length=end - start)
    with translated():
        signed = await one.stub.SignSegment(
            pb.SignSegmentRequest(upload=upload.name, range=span),
            metadata=one.token(MediaAction.WRITE),
        )

    def put() -> None:
        headers = {"Content-Type": "application/octet-stream"}  # moto takes urllib's own for a form
        data = CONTENT[start:end]
        request = urllib.request.Request(signed.url, data, headers, method="PUT")  # noqa: S310
        with urllib.request.urlopen(request):  # noqa: S310
            pass

    await asyncio.to_thread(put)
    with translated():
        await other.stub.ConfirmSegment(
            pb.ConfirmSegmentRequest(upload=upload.name, range=span),
            metadata=other.token(MediaAction.WRITE),
        )


async def test_an_upload_in_a_pool_goes_on_at_the_other_process(
    two: tuple[RunningStorage, RunningStorage], s3: S3Server, cold: str, beside_a_bucket: Any
) -> None:
    one, other = two
    main, pool = _bucket(s3, beside_a_bucket["bucket_url"]), _bucket(s3, cold)
    chunks = cut(CONTENT)
    async with one.caller(tenant="acme") as here, other.caller(tenant="acme") as there:
        upload = await here.create(len(CONTENT))
        assert upload.name.endswith("@cold")
        await here.write(upload, chunks[4::2])
        await there.write(upload, chunks[5::2])
        await _put_segment(here, there, upload, 0, chunks[4].offset)
        assert list((await here.get_upload(upload)).received) == [
            object_pb2.ByteRange(offset=0, length=len(CONTENT))
        ]
        assert "staging" in await _kinds(pool)
        stored = (await there.complete(upload, CONTENT)).object
        assert stored.pool == "cold"
        assert (await here.complete(upload, CONTENT)).object == stored
        assert await here.read() == await there.read() == [CONTENT]
        assert await _fetched(await _url(here)) == CONTENT
        assert await _kinds(pool) == ["data", "storage-id"]
        # Records, and of the upload what it had reserved until it was whole.
        assert await _kinds(main) == ["contents", "objects", "pools", "storage-id"]
        await other.app.uploads.delete_object(Place(tenant="acme", object_id=OBJECT_ID))
        with pytest.raises(NotFoundError):
            await here.read()
        assert await _kinds(pool) == ["storage-id"]
        assert await _kinds(main) == ["pools", "storage-id"]


async def test_an_upload_in_a_pool_is_followed_at_the_other_process(
    two: tuple[RunningStorage, RunningStorage],
) -> None:
    one, other = two
    chunks = cut(CONTENT)
    async with one.caller(tenant="acme") as here, other.caller(tenant="acme") as there:
        upload = await here.create(len(CONTENT))
        read, first = bytearray(), asyncio.Event()

        async def follow() -> None:
            async for response in there.follow((0, 0)):
                read.extend(response.chunk.data)
                first.set()

        following = asyncio.create_task(follow())
        await first.wait()
        await here.write(upload, chunks)
        await here.complete(upload, CONTENT)
        await following
        assert bytes(read) == CONTENT


async def test_a_pool_is_as_full_as_all_processes_have_made_it(
    two: tuple[RunningStorage, RunningStorage],
) -> None:
    one, other = two
    async with one.caller(tenant="acme") as here, other.caller(tenant="acme") as there:
        upload = await here.create(len(CONTENT))
        for caller in (here, there):
            with pytest.raises(QuotaExceededError, match="the storage pool 'cold' is 1500000"):
                await caller.create(600_000, object_id="0other")
        await here.write(upload, cut(CONTENT))
        await there.complete(upload, CONTENT)
        with pytest.raises(QuotaExceededError):
            await here.create(600_000, object_id="0other")
        await there.create(400_000, object_id="0other")
        async with one.caller(tenant="nobody") as others:
            await others.put(CONTENT)
        pools = await _pools(there)
    assert list(pools) == ["main", "cold"]
    assert pools["cold"].used_bytes == len(CONTENT) + 400_000
    assert pools["cold"].free_bytes == CAPACITY - pools["cold"].used_bytes
    assert pools["main"].used_bytes == len(CONTENT)
    # Nobody can ask a bucket what it has left.
    assert not pools["main"].HasField("free_bytes")
    assert not pools["main"].HasField("capacity_bytes")


@pytest.mark.parametrize("beside", ["a folder", "a bucket"])
async def test_what_is_finished_lies_in_its_pool(
    settings: dict[str, Any], s3: S3Server, cold: str, tmp_path: Path
) -> None:
    finisher = FakeFinisher()
    finisher.gate.set()
    async with (
        running_storage(tmp_path, finisher=finisher, **settings) as storage,
        storage.caller(tenant="acme") as caller,
    ):
        upload = await caller.create(
            finish=object_pb2.FinishSpec(container=profile_pb2.CONTAINER_MKV)
        )
        await caller.write(upload, cut(CONTENT))
        assert (await caller.complete(upload, CONTENT)).object.pool == "cold"
        assert await caller.read() == [finished_content(CONTENT, Container.MKV)]
        assert await _kinds(_bucket(s3, cold)) == ["data", "storage-id"]


async def test_a_bucket_beside_a_folder_is_used_like_one(
    beside_a_folder: dict[str, Any], s3: S3Server, cold: str, tmp_path: Path
) -> None:
    settings, pool, chunks = beside_a_folder, _bucket(s3, cold), cut(CONTENT)
    async with (
        running_storage(tmp_path, **settings) as storage,
        storage.caller(tenant="acme") as caller,
    ):
        upload = await caller.create(len(CONTENT))
        await caller.write(upload, chunks[:8])
        await _put_segment(caller, caller, upload, chunks[8].offset, chunks[10].offset)
        received = list((await caller.get_upload(upload)).received)
    # It goes on after a restart, of which nothing but the folder is left.
    async with (
        running_storage(tmp_path, **settings) as storage,
        storage.caller(tenant="acme") as caller,
        storage.caller(tenant="other") as other,
    ):
        assert list((await caller.get_upload(upload)).received) == received
        await caller.write(upload, chunks)
        await caller.complete(upload, CONTENT)
        assert await _kinds(pool) == ["data", "storage-id"]
        assert await caller.read([(1000, 5)]) == [CONTENT[1000:1005]]
        assert await _fetched(await _url(caller)) == CONTENT
        await other.put(CONTENT)
        with pytest.raises(UnimplementedError, match="which has no URLs"):
            await _url(other)
        pools = await _pools(caller)
        assert pools["main"].free_bytes > 0
        assert pools["cold"].used_bytes == len(CONTENT)
        await storage.app.uploads.delete_object(Place(tenant="acme", object_id=OBJECT_ID))
        assert await _kinds(pool) == ["storage-id"]
        assert await other.read() == [CONTENT]


async def test_a_pool_has_the_pace_of_its_kind(
    beside_a_folder: dict[str, Any], beside_a_bucket: dict[str, Any], tmp_path: Path
) -> None:
    async with running_storage(tmp_path / "folder", **beside_a_folder) as storage:
        limits = storage.app.limits
        assert limits.pace_of("main").sync_bytes == 4 << 20
        assert limits.pace_of("main").read_ahead_bytes == 1 << 20
        assert limits.pace_of("cold").sync_bytes == 8 << 20
        assert limits.pace_of("cold").read_ahead_bytes == 8 << 20
        assert limits.pace_of("cold").sync_delay == timedelta(seconds=0.01)
    both = {**beside_a_bucket, "pools": []} | {"tenant_pools": [], "pool_capacities": []}
    async with running_storage(tmp_path / "bucket", **both) as storage:
        assert storage.app.limits.pace_of("main").sync_bytes == 8 << 20


@pytest.mark.parametrize("beside", ["a folder", "a bucket"])
async def test_what_nobody_needs_in_a_pool_is_collected(
    settings: dict[str, Any], s3: S3Server, cold: str, tmp_path: Path
) -> None:
    pool = _bucket(s3, cold)
    async with (
        running_storage(tmp_path, **settings) as storage,
        storage.caller(tenant="acme") as caller,
    ):
        await caller.put(CONTENT)
        orphan = Place(tenant="acme", object_id="0orphan").data_key("0123456789ab@cold")
        await storage.app.provider.put(orphan, b"left over")
        abandoned = await caller.create(1000, object_id="0abandoned")
        await caller.write(abandoned, cut(CONTENT[:500]))
    days_later = SteppedClock()
    async with running_storage(tmp_path, clock=days_later, **settings) as storage:
        found = await storage.app.collector.collect("acme", dry_run=False)
        assert {each.reason for each in found} == {*CollectReason}
        assert await _kinds(pool) == ["data", "storage-id"]
        async with storage.caller(tenant="acme") as caller:
            assert (await _pools(caller))["cold"].used_bytes == len(CONTENT)
            assert await caller.read() == [CONTENT]


async def test_a_pool_may_have_an_endpoint_of_its_own(
    beside_a_bucket: dict[str, Any], s3: S3Server, cold: str, tmp_path: Path
) -> None:
    with faulty_s3(s3.address) as elsewhere:
        url = f"{cold}?endpoint={elsewhere.url}&public_endpoint=http://127.0.0.2:1"
        settings = {**beside_a_bucket, "pools": [f"cold={url}"]}
        async with (
            running_storage(tmp_path, **settings) as storage,
            storage.caller(tenant="acme") as caller,
        ):
            await caller.put(CONTENT)
            assert await caller.read() == [CONTENT]
            assert (await _url(caller)).startswith("http://127.0.0.2:1/")
        assert elsewhere.requests
        paths = [request.split("/", 1)[1] for request in elsewhere.requests]
        assert {path.split("?")[0].split("/")[0] for path in paths} == {cold.split("/")[2]}


async def test_a_pool_that_is_away_stops_no_other(
    beside_a_folder: dict[str, Any], s3: S3Server, tmp_path: Path
) -> None:
    with faulty_s3(s3.address) as proxy:
        settings = {**beside_a_folder, "bucket_endpoint": proxy.url}
        settings["pool_capacities"] = [f"main={CAPACITY}"]
        async with (
            running_storage(tmp_path, **settings) as storage,
            storage.caller(tenant="acme") as caller,
            storage.caller(tenant="other") as other,
        ):
            await caller.put(CONTENT)
            proxy.fault = Fault(503, "SlowDown")
            with pytest.raises(UnavailableError, match=r"s3://.*/cold failed .*\(503\)"):
                await caller.read()
            await other.put(CONTENT)
            assert await other.read() == [CONTENT]
            assert (await _pools(other))["main"].used_bytes == len(CONTENT)
            proxy.fault = None
            assert await caller.read() == [CONTENT]


@pytest.mark.parametrize("beside", ["a folder", "a bucket"])
async def test_a_bucket_that_is_away_keeps_no_other_pool_from_its_order(
    settings: dict[str, Any], s3: S3Server, cold: str, tmp_path: Path
) -> None:
    with faulty_s3(s3.address) as proxy:
        settings["pools"] = [f"cold={cold}?endpoint={proxy.url}"]
        async with (
            running_storage(tmp_path, **settings) as storage,
            storage.caller(tenant="acme") as acme,
            storage.caller(tenant="other") as other,
        ):
            for caller in (acme, other):
                await caller.write(await caller.create(1000), cut(CONTENT[:500]))
        async with (
            running_storage(tmp_path, clock=SteppedClock(), **settings) as storage,  # days later
            storage.caller(tenant="acme") as acme,
        ):
            proxy.fault = Fault(503, "SlowDown")
            assert list(await _pools(acme)) == ["main", "cold"]
            assert len(await storage.app.collector.collect("other", dry_run=True)) == 1
            await storage.app.uploads.sweep()
            assert await storage.app.collector.collect("other", dry_run=True) == []
            proxy.fault = None
            assert len(await storage.app.collector.collect("acme", dry_run=False)) == 1
            assert await _kinds(_bucket(s3, cold)) == ["storage-id"]


async def _refused(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(FailedPreconditionError, match=words):
        async with running_storage(tmp_path, **settings):
            pass


@pytest.mark.parametrize("beside", ["a folder", "a bucket"])
async def test_a_pool_that_is_not_what_it_was_is_told_of_at_the_start(
    settings: dict[str, Any], s3: S3Server, cold: str, tmp_path: Path
) -> None:
    async with (
        running_storage(tmp_path, **settings) as storage,
        storage.caller(tenant="acme") as caller,
    ):
        await caller.create(1000)
        await caller.put(CONTENT, object_id="0whole")
        before = await storage.app.provider.keys()

    none = {**settings, "pools": [], "tenant_pools": [], "pool_capacities": []}
    await _refused(tmp_path, none, r"pool 'cold' is not among .*objects/0whole of .*put the pool")
    other = {**settings, "pools": [f"cold=s3://{s3.new_bucket()}"]}
    await _refused(tmp_path, other, "'cold' is not at .*settings name the bucket and prefix that")
    renamed = {**none, "pools": [f"old={cold}"]}
    await _refused(tmp_path, renamed, f"{cold}, set as the storage pool 'old', is the pool 'cold'")
    stranger = {**settings, "bucket_url": f"s3://{s3.new_bucket()}"}
    await _refused(tmp_path, stranger, f"has no storage-id, but the pool 'cold' at {cold}")
    swapped = {**none, "bucket_url": cold}
    await _refused(tmp_path, swapped, f"{cold}, set as the main storage place, is the pool 'cold'")
    absent = {**settings, "pools": [f"cold={cold}", "more=s3://absent-bucket"]}
    with pytest.raises(UnavailableError, match="bucket of s3://absent-bucket does not exist"):
        async with running_storage(tmp_path, **absent):
            pass
    async with (
        running_storage(tmp_path, **settings) as storage,
        storage.caller(tenant="acme") as caller,
    ):
        assert await storage.app.provider.keys() == before
        assert await caller.read(object_id="0whole") == [CONTENT]
        for object_id in (OBJECT_ID, "0whole"):
            await storage.app.uploads.delete_object(Place(tenant="acme", object_id=object_id))
    async with running_storage(tmp_path, **none):  # nothing is left in it
        pass
