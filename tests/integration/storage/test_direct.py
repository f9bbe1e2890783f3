"""Segments of an upload that are put into the bucket past storage, over the wire."""

import asyncio
import os
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.faulty_s3 import faulty_s3

from distconv.core.errors import (
    DataLossError,
    NotFoundError,
    QuotaExceededError,
    UnimplementedError,
)
from distconv.rpc.convert.object import chunk
from distconv.rpc.errors import translated
from distconv.rpc.tokens import MediaAction
from distconv.storage.collector import CollectReason
from distconv.storage.providers.object_bucket import Bucket
from distconv.storage.providers.object_connect import BucketOptions, connect
from distconv.storage.testing import (
    OBJECT_ID,
    Caller,
    FakeFinisher,
    RunningStorage,
    SteppedClock,
    cut,
    running_storage,
)
from distconv.v1 import object_pb2, profile_pb2
from distconv.v1 import storage_service_pb2 as pb
from servers import S3Server

CONTENT = os.urandom(1_000_001)


@pytest.fixture(autouse=True)
def _credentials(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def settings(s3: S3Server) -> dict[str, Any]:
    return {
        "bucket_url": f"s3://{s3.new_bucket()}/media",
        "bucket_endpoint": s3.url,
        "segment_delay_s": 0.01,
        "watch_interval_s": 0.02,
    }


@pytest.fixture
async def two(
    settings: dict[str, Any], tmp_path: Path
) -> AsyncIterator[tuple[RunningStorage, RunningStorage]]:
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(running_storage(tmp_path, **settings)) for _ in range(2)
        ]
        yield one, other


def _bucket(settings: dict[str, Any]) -> Bucket:
    return connect(BucketOptions(url=settings["bucket_url"], endpoint=settings["bucket_endpoint"]))


async def _sign(
    caller: Caller, upload: object_pb2.Upload, start: int, end: int, *, ttl_s: float = 300
) -> pb.SignSegmentResponse:
    token = caller.token(MediaAction.WRITE, ttl=timedelta(seconds=ttl_s))
    span = object_pb2.ByteRange(offset=start, length=end - start)
    with translated():
        return await caller.stub.SignSegment(
            pb.SignSegmentRequest(upload=upload.name, range=span), metadata=token
        )


async def _confirm(caller: Caller, upload: object_pb2.Upload, start: int, end: int) -> None:
    span = object_pb2.ByteRange(offset=start, length=end - start)
    with translated():
        await caller.stub.ConfirmSegment(
            pb.ConfirmSegmentRequest(upload=upload.name, range=span),
            metadata=caller.token(MediaAction.WRITE),
        )


async def _put(url: str, data: bytes) -> None:
    def put() -> None:
        headers = {"Content-Type": "application/octet-stream"}  # moto takes urllib's own for a form
        request = urllib.request.Request(url, data, headers, method="PUT")  # noqa: S310  # our own
        with urllib.request.urlopen(request):  # noqa: S310
            pass

    await asyncio.to_thread(put)


async def test_a_segment_signed_at_one_is_confirmed_and_completed_at_the_other(
    two: tuple[RunningStorage, RunningStorage],
) -> None:
    one, other = two
    async with one.caller() as here, other.caller() as there:
        upload = await here.create(len(CONTENT))
        first = await _sign(here, upload, 0, 300_000)
        await _put(first.url, CONTENT[:300_000])
        await _confirm(there, upload, 0, 300_000)
        await there.write(upload, cut(CONTENT)[4:])
        found = await here.get_upload(upload)
        assert [(r.offset, r.length) for r in found.received] == [(0, len(CONTENT))]
        await here.complete(upload, CONTENT)
        assert await there.read() == [CONTENT]
        await _put(first.url, bytes(300_000))  # the URL still holds
        assert await there.read() == await here.read() == [CONTENT]


async def test_what_is_put_and_not_confirmed_counts_when_its_length_is_right(
    two: tuple[RunningStorage, RunningStorage],
) -> None:
    one, other = two
    async with one.caller() as here, other.caller() as there:
        upload = await here.create(len(CONTENT))
        await _put((await _sign(here, upload, 0, 1000)).url, CONTENT[:1000])
        await _put((await _sign(here, upload, 1000, 2000)).url, CONTENT[1000:2001])
        found = await there.get_upload(upload)
        assert [(r.offset, r.length) for r in found.received] == [(0, 1000)]
        with pytest.raises(DataLossError, match="1001 bytes were put as bytes 1000 to 1999"):
            await _confirm(there, upload, 1000, 2000)


@pytest.mark.parametrize("flips", [0, 1000])
async def test_an_output_is_read_once_to_be_completed(
    s3: S3Server, settings: dict[str, Any], tmp_path: Path, flips: int
) -> None:
    finisher = FakeFinisher()
    finisher.gate.set()
    with faulty_s3(s3.address) as between:
        settings["bucket_endpoint"] = between.url
        between.flips_puts = flips
        async with (
            running_storage(tmp_path, finisher=finisher, **settings) as storage,
            storage.caller() as caller,
        ):
            finish = object_pb2.FinishSpec(container=profile_pb2.CONTAINER_MKV)
            upload = await caller.create(finish=finish)
            for start in range(0, 900_000, 300_000):
                signed = await _sign(caller, upload, start, start + 300_000)
                await _put(signed.url, CONTENT[start : start + 300_000])
                await _confirm(caller, upload, start, start + 300_000)
            before = len(between.requests)
            if flips:
                with pytest.raises(DataLossError, match="what arrived is not what was sent"):
                    await caller.complete(upload, CONTENT[:900_000])
                return
            done = await caller.complete(upload, CONTENT[:900_000])
            assert done.object.size_bytes > 900_000
            read = [
                r for r in between.requests[before:] if r.startswith("GET") and "/staging/" in r
            ]
            assert len(read) == 3


@pytest.mark.parametrize("put", [b"x" * 10, bytes(2000), bytes(1000)])
@pytest.mark.parametrize("at_other", [False, True])
@pytest.mark.parametrize("finishes", [False, True])
async def test_an_acknowledged_segment_that_is_overwritten_ends_the_upload(
    two: tuple[RunningStorage, RunningStorage], put: bytes, at_other: bool, finishes: bool
) -> None:
    one, other = two
    finish = object_pb2.FinishSpec(container=profile_pb2.CONTAINER_MKV) if finishes else None
    async with one.caller() as here, other.caller() as there:
        upload = await here.create(finish=finish)
        signed = await _sign(here, upload, 0, 1000)
        await _put(signed.url, CONTENT[:1000])
        completing = there if at_other else here
        await _confirm(completing, upload, 0, 1000)
        await _put(signed.url, put)
        for _ in range(2):  # the verdict stays
            with pytest.raises(DataLossError, match="not what was sent"):
                await completing.complete(upload, CONTENT[:1000])
        with pytest.raises(NotFoundError):
            await _sign(there if completing is here else here, upload, 0, 1000)


async def test_bytes_that_came_by_write_and_were_overwritten_since_end_the_upload(
    two: tuple[RunningStorage, RunningStorage],
) -> None:
    async with two[0].caller() as caller:
        upload = await caller.create()
        signed = await _sign(caller, upload, 0, 1000)
        await caller.write(upload, [chunk(0, CONTENT[:1000])])
        await _put(signed.url, bytes(1000))
        with pytest.raises(DataLossError, match="not what was sent"):
            await caller.complete(upload, CONTENT[:1000])


async def test_what_another_process_took_counts_against_the_quota(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    settings["tenant_quota_bytes"] = 1000
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(running_storage(tmp_path, **settings)) for _ in range(2)
        ]
        async with one.caller() as here, other.caller() as there:
            upload = await here.create()
            await there.get_upload(upload)  # open there while it is empty
            await _put((await _sign(here, upload, 0, 1000)).url, CONTENT[:1000])
            await _confirm(here, upload, 0, 1000)
            with pytest.raises(QuotaExceededError):
                await _sign(there, upload, 1000, 2000)
            await here.complete(upload, CONTENT[:1000])


async def test_a_segment_of_another_length_is_removed_once_its_url_has_ended(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    bucket = _bucket(settings)
    async with running_storage(tmp_path, **settings) as storage, storage.caller() as caller:
        upload = await caller.create()
        await _put((await _sign(caller, upload, 0, 1)).url, bytes(100_000))
        await caller.get_upload(upload)  # it may be put right yet
        assert [f.size_bytes for f in await bucket.list("staging")] == [100_000, 0]
    later = SteppedClock()
    async with (
        running_storage(tmp_path, clock=later, **settings) as storage,
        storage.caller() as caller,
    ):
        await caller.get_upload(upload)
        assert [f.size_bytes for f in await bucket.list("staging")] == [0]


async def test_a_url_holds_for_minutes_and_no_longer_than_the_token(
    two: tuple[RunningStorage, RunningStorage],
) -> None:
    async with two[0].caller() as caller:
        upload = await caller.create()
        for ttl_s, holds_s in [(3600, 300), (60, 60)]:
            signed = await _sign(caller, upload, 0, 1000, ttl_s=ttl_s)
            left = signed.expire_time.ToDatetime(tzinfo=UTC) - datetime.now(UTC)
            assert left <= timedelta(seconds=holds_s)
            (seconds,) = parse_qs(urlsplit(signed.url).query)["X-Amz-Expires"]
            assert holds_s - 5 <= int(seconds) <= holds_s


async def test_an_upload_of_another_tenant_is_not_found(
    two: tuple[RunningStorage, RunningStorage],
) -> None:
    async with two[0].caller() as caller, two[0].caller(tenant="other") as stranger:
        upload = await caller.create()
        with pytest.raises(NotFoundError):
            await _sign(stranger, upload, 0, 1000)
        with pytest.raises(NotFoundError):
            await _confirm(stranger, upload, 0, 1000)


async def test_where_there_are_no_urls_it_says_so(settings: dict[str, Any], tmp_path: Path) -> None:
    for extra in ({}, {**settings, "signed_urls": False}):
        async with running_storage(tmp_path, **extra) as storage, storage.caller() as caller:
            request = pb.CreateUploadRequest(object=f"objects/{OBJECT_ID}")
            token = caller.token(MediaAction.WRITE)
            answer = await caller.stub.CreateUpload(request, metadata=token)
            assert not answer.signs_segments
            with pytest.raises(UnimplementedError, match="use Write"):
                await _sign(caller, answer.upload, 0, 1000)
            with pytest.raises(UnimplementedError, match="use Write"):
                await _confirm(caller, answer.upload, 0, 1000)


async def test_what_is_put_after_the_end_is_of_nothing_and_is_collected(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    bucket = _bucket(settings)
    async with running_storage(tmp_path, **settings) as storage, storage.caller() as caller:
        given_up = await caller.create()
        signed = await _sign(caller, given_up, 0, 1000)
        await caller.abort(given_up)
        await _put(signed.url, bytes(1000))
        upload = await caller.create()  # of the same object
        late = await _sign(caller, upload, 0, len(CONTENT))
        await _put(late.url, CONTENT)
        assert [r.length for r in (await caller.get_upload(upload)).received] == [len(CONTENT)]
        await caller.complete(upload, CONTENT)
        await _put(late.url, bytes(len(CONTENT)))
        assert await caller.read() == [CONTENT]
        await storage.app.uploads.sweep()  # it may be somebody's who is just beginning
        assert len(await bucket.list("staging")) == 2
    days_later = SteppedClock()
    async with running_storage(tmp_path, clock=days_later, **settings) as storage:
        found = await storage.app.collector.collect("local", dry_run=True)
        assert [each.reason for each in found] == [CollectReason.ABANDONED_UPLOAD] * 2
        await storage.app.uploads.sweep()
        assert await bucket.list("staging") == []
        async with storage.caller() as caller:
            assert await caller.read() == [CONTENT]
