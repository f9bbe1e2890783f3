"""Segments that are put past storage: what may be signed, what is believed, what is left."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from distconv.core.errors import (
    AlreadyExistsError,
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    QuotaExceededError,
    ResourceExhaustedError,
    UnimplementedError,
)
from distconv.core.profile import Container
from distconv.rpc.limits import MAX_SEGMENT_BYTES
from distconv.storage import claims
from distconv.storage.completion import Completion
from distconv.storage.direct import DirectAccess
from distconv.storage.limits import Limits, Pace
from distconv.storage.names import Place, UploadId
from distconv.storage.objects import Objects
from distconv.storage.providers.memory import MemoryProvider
from distconv.storage.quotas import QuotaLimits, Quotas
from distconv.storage.testing import FakeFinisher, SteppedClock
from distconv.storage.threads import Threads
from distconv.storage.uploads import Uploads

PLACE = Place(tenant="t1", object_id="0abc")
CONTENT = os.urandom(5000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
LIMITS = Limits(
    max_object_bytes=1_000_000,
    max_fragments=3,
    min_free_bytes=0,
    pace=Pace(sync_delay=timedelta(0)),
)


class Storage:
    """One storage process over a provider that signs."""

    def __init__(
        self,
        provider: MemoryProvider,
        clock: SteppedClock,
        threads: Threads,
        quotas: QuotaLimits = QuotaLimits(),  # noqa: B008  # frozen
    ) -> None:
        self.provider = provider
        self.clock = clock
        self.finisher = FakeFinisher()
        self.finisher.gate.set()
        objects = Objects(provider)
        self.uploads = Uploads(
            provider=provider,
            objects=objects,
            quotas=Quotas(provider, quotas),
            completion=Completion(
                provider=provider,
                finisher=self.finisher,
                finish_concurrency=1,
                threads=threads,
                clock=clock,
            ),
            threads=threads,
            limits=LIMITS,
            clock=clock,
        )
        self.direct = DirectAccess(
            provider=provider, objects=objects, uploads=self.uploads, clock=clock
        )

    async def create(self, size_bytes: int = 0, container: Container | None = None) -> UploadId:
        upload = await self.uploads.create(PLACE, size_bytes=size_bytes, container=container)
        return upload.id

    async def sign(self, upload: UploadId, offset: int, length: int) -> str:
        end = self.clock.now() + timedelta(hours=1)
        signed, _ = await self.direct.segment("t1", upload, offset, length, token_end=end)
        return signed.url

    async def put(self, upload: UploadId, offset: int, data: bytes) -> None:
        self.provider.received[await self.sign(upload, offset, len(data))] = data

    async def confirm(self, upload: UploadId, offset: int, length: int) -> None:
        await self.direct.confirm("t1", upload, offset, length)

    async def take(self, upload: UploadId, offset: int, data: bytes) -> None:
        await self.put(upload, offset, data)
        await self.confirm(upload, offset, len(data))

    async def durable(self, upload: UploadId) -> list[tuple[int, int]]:
        return list((await self.uploads.get("t1", upload)).durable)


@pytest.fixture
def signing(tmp_path: Path, clock: SteppedClock) -> MemoryProvider:
    return MemoryProvider(tmp_path, clock=clock, signs=True)


@pytest.fixture
async def storage(
    signing: MemoryProvider, clock: SteppedClock, threads: Threads
) -> AsyncIterator[Storage]:
    made = Storage(signing, clock, threads)
    yield made
    await made.uploads.stop()


async def test_segments_in_any_order_become_the_object(storage: Storage) -> None:
    upload = await storage.create()
    await storage.take(upload, 3000, CONTENT[3000:])
    await storage.take(upload, 0, CONTENT[:1000])
    await storage.take(upload, 1000, CONTENT[1000:3000])
    assert await storage.durable(upload) == [(0, 5000)]
    done = await storage.uploads.complete("t1", upload, size_bytes=5000, sha256=DIGEST)
    assert await storage.provider.get(PLACE.data_key(done.version)) == CONTENT


async def test_both_ways_may_be_mixed(storage: Storage) -> None:
    upload = await storage.create(5000)
    await storage.take(upload, 0, CONTENT[:1000])
    await storage.put(upload, 1000, CONTENT[1000:2000])  # never confirmed: sent through storage
    opened = await storage.uploads.get("t1", upload)
    await opened.write([(1000, CONTENT[1000:4000])])
    await opened.flush()
    await storage.take(upload, 4000, CONTENT[4000:])
    done = await storage.uploads.complete("t1", upload, size_bytes=5000, sha256=DIGEST)
    assert done.sha256 == DIGEST


@pytest.mark.parametrize(
    ("offset", "length", "field"),
    [
        (-1, 10, "range.offset"),
        (0, 0, "range.length"),
        (0, -5, "range.length"),
        (0, MAX_SEGMENT_BYTES + 1, "range.length"),
        (4_999, 2, "range.offset"),
        (5_000, 1, "range.offset"),
        (2**62, 1, "range.offset"),
    ],
)
async def test_a_range_that_is_none_is_refused(
    storage: Storage, offset: int, length: int, field: str
) -> None:
    upload = await storage.create(5000)
    for call in (storage.sign, storage.confirm):
        with pytest.raises(InvalidArgumentError) as caught:
            await call(upload, offset, length)
        assert caught.value.field == field


async def test_nothing_lies_beyond_the_largest_size(storage: Storage) -> None:
    upload = await storage.create()
    with pytest.raises(InvalidArgumentError, match="largest size of 1000000"):
        await storage.sign(upload, 999_999, 2)
    await storage.sign(upload, 999_999, 1)


@pytest.mark.parametrize(("offset", "length"), [(1000, 1000), (500, 600), (1500, 100), (1999, 2)])
async def test_what_has_arrived_is_not_signed_again(
    storage: Storage, offset: int, length: int
) -> None:
    upload = await storage.create(5000)
    await storage.take(upload, 1000, CONTENT[1000:2000])
    with pytest.raises(AlreadyExistsError, match="ask GetUpload"):
        await storage.sign(upload, offset, length)


async def test_what_has_not_arrived_is_signed_again(storage: Storage) -> None:
    upload = await storage.create(5000)
    first = await storage.sign(upload, 0, 1000)
    assert await storage.sign(upload, 0, 1000) == first
    await storage.sign(upload, 500, 1000)


@pytest.mark.parametrize("data", [None, b"", CONTENT[:999], CONTENT[:1001]])
async def test_a_segment_that_is_not_there_or_not_so_long_does_not_count(
    storage: Storage, data: bytes | None
) -> None:
    upload = await storage.create(5000)
    url = await storage.sign(upload, 0, 1000)
    if data is not None:
        storage.provider.received[url] = data
    with pytest.raises(DataLossError, match="put them again"):
        await storage.confirm(upload, 0, 1000)
    assert await storage.durable(upload) == []
    await storage.take(upload, 0, CONTENT[:1000])
    assert await storage.durable(upload) == [(0, 1000)]


async def test_a_segment_is_confirmed_as_often_as_one_likes(storage: Storage) -> None:
    upload = await storage.create(5000)
    await storage.take(upload, 0, CONTENT[:1000])
    await storage.confirm(upload, 0, 1000)
    await storage.confirm(upload, 100, 200)
    assert await storage.durable(upload) == [(0, 1000)]


async def test_who_follows_is_woken(storage: Storage) -> None:
    upload = await storage.create()
    woken = asyncio.Event()
    (await storage.uploads.get("t1", upload)).watch(woken)
    await storage.put(upload, 0, CONTENT)
    assert not woken.is_set()
    await storage.confirm(upload, 0, 5000)
    assert woken.is_set()


async def test_an_upload_of_many_pieces_takes_no_more(storage: Storage) -> None:
    upload = await storage.create()
    for at in range(0, 4000, 1000):
        await storage.take(upload, at, CONTENT[at : at + 10])
    with pytest.raises(ResourceExhaustedError, match="separate pieces"):
        await storage.sign(upload, 4000, 10)


async def test_urls_of_many_pieces_are_not_given_out(storage: Storage) -> None:
    upload = await storage.create()
    for at in range(0, 4000, 1000):
        await storage.sign(upload, at, 10)
    with pytest.raises(ResourceExhaustedError, match="separate pieces"):
        await storage.sign(upload, 4000, 10)


async def test_small_segments_are_bounded(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "MAX_SMALL_SEGMENTS", 3)
    upload = await storage.create()
    for at in range(3):
        await storage.sign(upload, at, 1)
    with pytest.raises(ResourceExhaustedError, match="put larger ones"):
        await storage.sign(upload, 3, 65_535)
    await storage.sign(upload, 3, 65_536)


async def test_an_upload_that_has_ended_takes_nothing(storage: Storage) -> None:
    given_up = await storage.create()
    await storage.uploads.abort("t1", given_up)
    completed = await storage.create()
    await storage.take(completed, 0, CONTENT)
    await storage.uploads.complete("t1", completed, size_bytes=5000, sha256=DIGEST)
    foreign = UploadId(object_id="0other", nonce="0" * 12)
    for upload in (given_up, completed, foreign):
        with pytest.raises(NotFoundError):
            await storage.sign(upload, 5000, 10)
        with pytest.raises(NotFoundError):
            await storage.confirm(upload, 5000, 10)


async def test_an_upload_that_is_being_completed_takes_nothing(storage: Storage) -> None:
    upload = await storage.create(container=Container.MKV)
    await storage.take(upload, 0, CONTENT)
    storage.finisher.gate.clear()
    completing = asyncio.create_task(
        storage.uploads.complete("t1", upload, size_bytes=5000, sha256=DIGEST)
    )
    await storage.finisher.started.wait()
    for call in (storage.sign, storage.confirm):
        with pytest.raises(FailedPreconditionError, match="being completed"):
            await call(upload, 5000, 10)
    storage.finisher.gate.set()
    assert (await completing).received_sha256 == DIGEST


async def test_other_bytes_than_were_meant_are_not_published(storage: Storage) -> None:
    for container in (None, Container.MKV):
        upload = await storage.create(container=container)
        await storage.take(upload, 0, CONTENT[:4000])
        await storage.take(upload, 4000, bytes(1000))
        with pytest.raises(DataLossError, match="not what was sent"):
            await storage.uploads.complete("t1", upload, size_bytes=5000, sha256=DIGEST)
        assert await storage.uploads.find(PLACE) is None


async def test_what_is_put_after_the_commit_changes_nothing(storage: Storage) -> None:
    upload = await storage.create()
    url = await storage.sign(upload, 0, 5000)
    storage.provider.received[url] = CONTENT
    await storage.confirm(upload, 0, 5000)
    done = await storage.uploads.complete("t1", upload, size_bytes=5000, sha256=DIGEST)
    storage.provider.received[url] = bytes(5000)
    assert await storage.provider.get(PLACE.data_key(done.version)) == CONTENT


@pytest.mark.parametrize(
    "quotas", [QuotaLimits(by_tenant={"t1": 3000}), QuotaLimits(by_pool={"main": 3000})]
)
async def test_room_is_needed_when_it_is_signed(
    signing: MemoryProvider, clock: SteppedClock, threads: Threads, quotas: QuotaLimits
) -> None:
    storage = Storage(signing, clock, threads, quotas)
    upload = await storage.create()
    await storage.sign(upload, 0, 2000)
    await storage.sign(upload, 0, 2000)  # the same bytes again need no more
    with pytest.raises(QuotaExceededError) as caught:
        await storage.sign(upload, 2000, 1001)
    assert caught.value.metadata["wanted_bytes"] == "3001"
    await storage.sign(upload, 2000, 1000)
    with pytest.raises(QuotaExceededError):
        await storage.sign(upload, 3000, 1)
    await storage.uploads.stop()


async def test_what_another_process_took_counts_against_the_quota(
    tmp_path: Path, clock: SteppedClock, threads: Threads
) -> None:
    provider = MemoryProvider(tmp_path, clock=clock, shared=True, signs=True)
    quotas = QuotaLimits(other_tenants=1000)
    here, there = (Storage(provider, clock, threads, quotas) for _ in range(2))
    upload = await here.create()
    await there.uploads.get("t1", upload)  # open there while it is empty
    await here.take(upload, 0, CONTENT[:1000])
    with pytest.raises(QuotaExceededError):
        await there.sign(upload, 1000, 1000)
    await here.uploads.stop()
    await there.uploads.stop()


async def test_the_quota_is_looked_at_again_at_the_end(
    tmp_path: Path, clock: SteppedClock, threads: Threads
) -> None:
    provider = MemoryProvider(tmp_path, clock=clock, shared=True, signs=True)
    here, there = (
        Storage(provider, clock, threads, QuotaLimits(other_tenants=quota))
        for quota in (1000, 5000)
    )
    upload = await here.create()
    await there.take(upload, 0, CONTENT)
    with pytest.raises(QuotaExceededError):
        await here.uploads.complete("t1", upload, size_bytes=5000, sha256=DIGEST)
    await here.uploads.stop()
    await there.uploads.stop()


async def test_a_url_ends_with_the_token_and_soon(storage: Storage) -> None:
    upload, now = await storage.create(), storage.clock.now()
    for lasts, holds in [(3600, 300), (120, 120), (-5, 1)]:
        _, expire_time = await storage.direct.segment(
            "t1", upload, 0, 10, token_end=now + timedelta(seconds=lasts)
        )
        assert expire_time == now + timedelta(seconds=holds)


async def test_where_there_are_no_urls_nothing_is_reserved(
    tmp_path: Path, clock: SteppedClock, threads: Threads
) -> None:
    provider = MemoryProvider(tmp_path, clock=clock)
    storage = Storage(provider, clock, threads, QuotaLimits(by_tenant={"t1": 3000}))
    upload = await storage.create()
    keys = await provider.keys()
    for call in (storage.sign, storage.confirm):
        with pytest.raises(UnimplementedError, match="use Write"):
            await call(upload, 0, 1000)
    assert await provider.keys() == keys
    await storage.uploads.stop()
