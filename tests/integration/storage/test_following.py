import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import pytest

from distconv.core.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    UnavailableError,
    UploadFailedError,
)
from distconv.core.profile import Container
from distconv.storage.testing import (
    CHUNK_BYTES,
    OBJECT_ID,
    Caller,
    FakeFinisher,
    SteppedClock,
    chunk,
    cut,
    finished_content,
    running_storage,
)
from distconv.v1 import object_pb2, profile_pb2
from distconv.v1 import storage_service_pb2 as pb

CONTENT = os.urandom(1_000_003)
MKV = object_pb2.FinishSpec(container=profile_pb2.CONTAINER_MKV)

Follow = AsyncGenerator[pb.ReadResponse, None]


async def _take(follow: Follow, size_bytes: int) -> bytes:
    """Return the next `size_bytes` bytes, passing over signs of waiting."""
    found = b""
    while len(found) < size_bytes:
        found += (await anext(follow)).chunk.data
    return found


async def _rest(follow: Follow) -> tuple[bytes, pb.ReadResponse]:
    """Return what still comes, and the last response."""
    found, last = b"", pb.ReadResponse()
    async for last in follow:
        found += last.chunk.data
    return found, last


async def test_bytes_come_as_they_arrive_and_the_object_when_it_is_committed(
    caller: Caller,
) -> None:
    upload = await caller.create(len(CONTENT))
    async with aclosing(caller.follow((0, 0))) as follow:
        first = await anext(follow)
        assert first.object.state == object_pb2.OBJECT_STATE_UPLOADING
        assert first.object.size_bytes == len(CONTENT)
        await caller.write(upload, cut(CONTENT[:300_000]))
        assert await _take(follow, 300_000) == CONTENT[:300_000]
        await caller.write(upload, [chunk(CONTENT, at, at + 99_999) for at in (500_000, 300_000)])
        assert await _take(follow, 99_999) == CONTENT[300_000:399_999]
        await caller.write(upload, cut(CONTENT))
        assert await _take(follow, len(CONTENT) - 399_999) == CONTENT[399_999:]
        stored = (await caller.complete(upload, CONTENT)).object
        _, last = await _rest(follow)
        assert last.object == stored


async def test_the_ranges_that_have_arrived_are_served_and_the_next_are_waited_for(
    tmp_path: Path,
) -> None:
    async with running_storage(tmp_path, follow_sign_s=0.02) as storage, storage.caller() as caller:
        upload = await caller.create(len(CONTENT))
        await caller.write(upload, [chunk(CONTENT, 900_000, 1_000_003)])
        async with aclosing(caller.follow((900_000, 0), (10, 20), (0, 5))) as follow:
            await anext(follow)
            assert await _take(follow, 100_003) == CONTENT[900_000:]
            assert (await anext(follow)).waiting
            assert (await anext(follow)).waiting
            await caller.write(upload, [chunk(CONTENT, 0, 100)])
            assert await _take(follow, 25) == CONTENT[10:30] + CONTENT[:5]


async def test_a_range_to_the_end_of_an_upload_of_unknown_size_ends_with_it(
    caller: Caller,
) -> None:
    upload = await caller.create()
    async with aclosing(caller.follow((7, 0), (0, 3))) as follow:
        await anext(follow)
        await caller.write(upload, cut(CONTENT))
        assert await _take(follow, len(CONTENT) - 7) == CONTENT[7:]
        await caller.complete(upload, CONTENT)
        done = await anext(follow)
        assert done.range_done
        assert not done.chunk.data
        rest, last = await _rest(follow)
        assert rest == CONTENT[:3]
        assert last.object.state == object_pb2.OBJECT_STATE_COMMITTED


async def test_what_is_finished_is_followed_as_it_was_sent_even_by_one_who_lags(
    caller: Caller, finisher: FakeFinisher
) -> None:
    finisher.gate.set()
    upload = await caller.create(finish=MKV)
    async with aclosing(caller.follow((0, 0))) as follow:
        await anext(follow)
        await caller.write(upload, cut(CONTENT))
        stored = (await caller.complete(upload, CONTENT)).object
        rest, last = await _rest(follow)
    assert rest == CONTENT
    assert last.object == stored
    assert await caller.read() == [finished_content(CONTENT, Container.MKV)]


async def test_a_committed_object_is_read_as_ever(caller: Caller) -> None:
    stored = await caller.put(CONTENT)
    async with aclosing(caller.follow((0, 0))) as follow:
        assert (await anext(follow)).object == stored
        assert (await _rest(follow))[0] == CONTENT


async def test_an_upload_that_is_given_up_ends_those_who_follow_it(caller: Caller) -> None:
    upload = await caller.create(len(CONTENT))
    await caller.write(upload, cut(CONTENT[:CHUNK_BYTES]))
    async with aclosing(caller.follow((0, 0))) as follow:
        await anext(follow)
        await _take(follow, CHUNK_BYTES)
        await caller.abort(upload)
        with pytest.raises(UploadFailedError, match=f"{OBJECT_ID} has failed: it was given up"):
            await _rest(follow)
    with pytest.raises(NotFoundError):
        await _rest(caller.follow((0, 0)))


async def test_an_upload_that_proves_corrupt_ends_those_who_follow_it_and_who_come_later(
    caller: Caller,
) -> None:
    upload = await caller.create(len(CONTENT))
    async with aclosing(caller.follow((0, 0))) as follow:
        await anext(follow)
        await caller.write(upload, cut(CONTENT))
        await _take(follow, len(CONTENT))
        with pytest.raises(DataLossError):
            await caller.complete(upload, CONTENT, sha256="0" * 64)
        with pytest.raises(UploadFailedError, match="not what was sent"):
            await _rest(follow)
    with pytest.raises(UploadFailedError, match="not what was sent"):
        await _rest(caller.follow((0, 0)))
    with pytest.raises(NotFoundError):
        await caller.read()
    await caller.create(5)
    async with aclosing(caller.follow((0, 0))) as follow:  # another upload, another try
        assert (await anext(follow)).object.size_bytes == 5


async def test_an_upload_that_stands_still_is_followed_no_further(tmp_path: Path) -> None:
    clock = SteppedClock()
    async with (
        running_storage(tmp_path, clock=clock, follow_sign_s=0.02) as storage,
        storage.caller() as caller,
    ):
        await caller.create(len(CONTENT))
        async with aclosing(caller.follow((0, 0))) as follow:
            await anext(follow)
            clock.step(timedelta(seconds=599))
            assert (await anext(follow)).waiting
            clock.step(timedelta(seconds=1))
            with pytest.raises(UploadFailedError, match="nothing arrived for 600 s"):
                await _rest(follow)


async def test_a_completion_that_takes_long_is_no_standing_still(
    tmp_path: Path, finisher: FakeFinisher
) -> None:
    clock = SteppedClock()
    async with (
        running_storage(tmp_path, clock=clock, finisher=finisher, follow_sign_s=0.02) as storage,
        storage.caller() as caller,
    ):
        upload = await caller.create(finish=MKV)
        await caller.write(upload, cut(CONTENT))
        completing = asyncio.create_task(caller.complete(upload, CONTENT))
        await finisher.started.wait()
        async with aclosing(caller.follow((0, 0))) as follow:
            await anext(follow)
            await _take(follow, len(CONTENT))
            clock.step(timedelta(seconds=250))
            assert (await anext(follow)).waiting
            finisher.gate.set()
            _, last = await _rest(follow)
            assert last.object == (await completing).object


async def test_an_upload_that_is_followed_is_not_put_to_rest(tmp_path: Path) -> None:
    clock = SteppedClock()
    async with (
        running_storage(tmp_path, clock=clock, rest_after_s=10) as storage,
        storage.caller() as caller,
    ):
        upload = await caller.create(len(CONTENT))
        async with aclosing(caller.follow((0, 0))) as follow:
            await anext(follow)
            clock.step(timedelta(seconds=100))
            await storage.app.uploads.sweep()
            await caller.write(upload, cut(CONTENT))
            assert await _take(follow, len(CONTENT)) == CONTENT


async def test_after_a_restart_it_is_followed_further(tmp_path: Path) -> None:
    async with running_storage(tmp_path) as storage, storage.caller() as caller:
        upload = await caller.create(len(CONTENT))
        await caller.write(upload, cut(CONTENT[:300_000]))
        follow = caller.follow((0, 0))
        await anext(follow)
        assert await _take(follow, 300_000) == CONTENT[:300_000]
        await storage.app.uploads.stop()
        with pytest.raises(UnavailableError):
            await _rest(follow)
    async with (
        running_storage(tmp_path) as storage,
        storage.caller() as caller,
        aclosing(caller.follow((300_000, 0))) as follow,
    ):
        await anext(follow)
        await caller.write(upload, cut(CONTENT))
        assert await _take(follow, len(CONTENT) - 300_000) == CONTENT[300_000:]


@pytest.mark.parametrize("size_bytes", [0, 100])
async def test_bad_ranges_are_refused_at_once(caller: Caller, size_bytes: int) -> None:
    await caller.create(size_bytes)
    with pytest.raises(InvalidArgumentError, match="is no range"):
        await _rest(caller.follow((-1, 5)))
    with pytest.raises(OutOfRangeError):
        await _rest(caller.follow((0, 2**50)))


async def test_without_follow_it_is_refused(caller: Caller) -> None:
    await caller.create(77)
    with pytest.raises(FailedPreconditionError, match="or follow it"):
        await caller.read()
