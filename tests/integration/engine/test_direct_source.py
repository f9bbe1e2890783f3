"""A source that is read from its bucket, past storage, and through storage when that fails."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.faulty_s3 import Fault, FaultyS3

from distconv.core.clock import SystemClock
from distconv.engine.direct_source import DirectSource
from distconv.engine.source import StorageSource
from distconv.engine.storage_link import StorageLink
from distconv.engine.work import MediaGrant
from distconv.rpc.tokens import MediaAction
from distconv.storage.testing import OBJECT_ID, RunningStorage, SteppedClock, cut, running_storage
from servers import S3Server, free_port

MIB = 1024 * 1024
CONTENT = os.urandom(5 * MIB + 12_345)


@pytest.fixture
async def storage(s3: S3Server, between: FaultyS3, tmp_path: Path) -> AsyncIterator[RunningStorage]:
    async with running_storage(tmp_path, **_settings(s3, between.url)) as running:
        yield running


def _settings(s3: S3Server, public_endpoint: str) -> dict[str, Any]:
    return {
        "bucket_url": f"s3://{s3.new_bucket()}",
        "bucket_endpoint": s3.url,
        "bucket_public_endpoint": public_endpoint,
        "segment_delay_s": 0.01,
    }


@asynccontextmanager
async def _source(
    storage: RunningStorage,
    clock: SystemClock | SteppedClock | None = None,
    *,
    budget_bytes: int = 16 * MIB,
    dead: Sequence[str] = (),
) -> AsyncIterator[DirectSource]:
    """`dead` are addresses of storage servers that are away, named before the one that lives."""
    token, _ = storage.tokens.sign(
        tenant="local",
        subject="test",
        object_id=OBJECT_ID,
        action=MediaAction.READ,
        ttl=timedelta(minutes=5),
    )
    grant = MediaGrant(
        addresses=(*dead, storage.address), token=token, object_name=f"objects/{OBJECT_ID}"
    )
    link = StorageLink(grant, patience_s=5)
    source = DirectSource(
        StorageSource(link, len(CONTENT)),
        link,
        clock or SystemClock(),
        budget_bytes=budget_bytes,
    )
    try:
        yield source
    finally:
        await source.close()
        await link.close()


async def _put(storage: RunningStorage) -> None:
    async with storage.caller() as caller:
        await caller.put(CONTENT)


async def _read_whole(source: DirectSource) -> bytes:
    step = 200_000
    spans = [(at, step) for at in range(0, len(CONTENT), step)]
    found = [await source.read(*spans[0])]
    found += await asyncio.gather(*(source.read(*span) for span in spans[1:]))
    return b"".join(found)


def _ranges_of(between: FaultyS3) -> int:
    return sum("X-Amz-Signature" in request for request in between.requests)


async def test_a_source_is_fetched_once_from_the_bucket_in_any_order(
    storage: RunningStorage, between: FaultyS3
) -> None:
    await _put(storage)
    async with _source(storage) as source:
        assert await source.read(len(CONTENT) - 5, 100) == CONTENT[-5:]
        assert await source.read(len(CONTENT), 100) == b""
        assert await source.read(MIB - 3, 6) == CONTENT[MIB - 3 : MIB + 3]
        assert await _read_whole(source) == CONTENT
        assert source.direct_bytes >= len(CONTENT)
        assert await source.settle() != ""
    assert 6 <= _ranges_of(between) <= 9


async def test_a_storage_that_is_away_keeps_nobody_from_the_bucket(
    storage: RunningStorage, between: FaultyS3
) -> None:
    await _put(storage)
    async with _source(storage, dead=[f"127.0.0.1:{free_port()}"]) as source:
        assert await _read_whole(source) == CONTENT
        assert source.direct_bytes >= len(CONTENT)
    assert _ranges_of(between) > 0


@pytest.mark.parametrize("budget_bytes", [1, 2 * MIB])
async def test_with_room_for_few_blocks_all_is_read_nevertheless(
    storage: RunningStorage, between: FaultyS3, budget_bytes: int
) -> None:
    await _put(storage)
    async with _source(storage, budget_bytes=budget_bytes) as source:
        assert await _read_whole(source) == CONTENT
        assert await source.read(0, len(CONTENT)) == CONTENT
        assert source.direct_bytes >= len(CONTENT)


@pytest.mark.parametrize("trouble", ["unreachable", "forbidden", "switched off", "a disk"])
async def test_what_cannot_be_fetched_comes_through_storage(
    s3: S3Server, between: FaultyS3, tmp_path: Path, trouble: str
) -> None:
    settings = _settings(s3, between.url)
    if trouble == "unreachable":
        settings["bucket_public_endpoint"] = f"http://127.0.0.1:{free_port()}"
    elif trouble == "forbidden":
        between.fault = Fault(403, "AccessDenied")
    elif trouble == "switched off":
        settings["signed_urls"] = False
    else:
        settings = {}
    async with running_storage(tmp_path, **settings) as storage:
        await _put(storage)
        async with _source(storage) as source:
            assert await _read_whole(source) == CONTENT
            assert source.direct_bytes == 0
    assert _ranges_of(between) == (0 if trouble != "forbidden" else _ranges_of(between))


async def test_damage_on_the_way_is_found_and_goes_through_storage(
    storage: RunningStorage, between: FaultyS3
) -> None:
    await _put(storage)
    async with _source(storage) as source:
        assert await source.read(0, 10) == CONTENT[:10]
        between.flips = True
        assert await _read_whole(source) == CONTENT


async def test_a_url_that_has_ended_is_asked_for_anew(
    storage: RunningStorage, between: FaultyS3
) -> None:
    await _put(storage)
    clock = SteppedClock()  # ahead of the real one: every URL ends at once
    async with _source(storage, clock) as source:
        assert await _read_whole(source) == CONTENT
        assert source.direct_bytes >= len(CONTENT)


async def test_a_source_under_way_is_followed_through_storage(storage: RunningStorage) -> None:
    async with storage.caller() as caller, _source(storage) as source:
        upload = await caller.create(len(CONTENT))
        reading = asyncio.create_task(_read_whole(source))
        await caller.write(upload, cut(CONTENT))
        await caller.complete(upload, CONTENT)
        assert await reading == CONTENT
        assert source.direct_bytes == 0
