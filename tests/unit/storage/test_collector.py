"""What storage collects by itself: nothing that is committed or under way."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from distconv.core.errors import UnavailableError
from distconv.storage.collector import Collector, CollectReason
from distconv.storage.completion import Completion
from distconv.storage.limits import Limits, Pace
from distconv.storage.names import Place
from distconv.storage.objects import Objects
from distconv.storage.providers.memory import MemoryProvider
from distconv.storage.quotas import QuotaLimits, Quotas
from distconv.storage.testing import FakeFinisher, SteppedClock
from distconv.storage.threads import Threads
from distconv.storage.uploads import Uploads

TTL = timedelta(hours=1)
CONTENT = b"x" * 1000


@pytest.fixture
async def uploads(
    provider: MemoryProvider, clock: SteppedClock, threads: Threads
) -> AsyncIterator[Uploads]:
    completion = Completion(
        provider=provider,
        finisher=FakeFinisher(),
        finish_concurrency=1,
        threads=threads,
        clock=clock,
    )
    made = Uploads(
        provider=provider,
        objects=Objects(provider),
        quotas=Quotas(provider, QuotaLimits(other_tenants=10_000)),
        completion=completion,
        threads=threads,
        limits=Limits(min_free_bytes=0, pace=Pace(sync_delay=timedelta(0)), upload_ttl=TTL),
        clock=clock,
    )
    yield made
    await made.stop()


@pytest.fixture
def collector(provider: MemoryProvider, clock: SteppedClock, uploads: Uploads) -> Collector:
    return Collector(
        provider=provider, objects=Objects(provider), uploads=uploads, grace=TTL, clock=clock
    )


async def _committed(uploads: Uploads, place: Place) -> None:
    upload = await uploads.create(place, size_bytes=len(CONTENT), container=None)
    await upload.write([(0, CONTENT)])
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    await uploads.complete(place.tenant, upload.id, size_bytes=len(CONTENT), sha256=sha256)


async def test_what_is_whole_or_under_way_stays(
    uploads: Uploads, collector: Collector, provider: MemoryProvider, clock: SteppedClock
) -> None:
    await _committed(uploads, Place(tenant="t1", object_id="0a"))
    clock.step(2 * TTL)
    upload = await uploads.create(
        Place(tenant="t1", object_id="0b"), size_bytes=1000, container=None
    )
    await upload.write([(0, b"y")])
    before = list(await provider.keys())
    assert await collector.collect("t1", dry_run=False) == []
    assert list(await provider.keys()) == before


async def test_an_abandoned_upload_goes_with_its_reservation(
    uploads: Uploads, collector: Collector, provider: MemoryProvider, clock: SteppedClock
) -> None:
    place = Place(tenant="t1", object_id="0a")
    upload = await uploads.create(place, size_bytes=1000, container=None)
    await upload.write([(0, b"yy")])
    await upload.flush()
    clock.step(TTL - timedelta(seconds=1))
    await uploads.sweep()  # it rests: nobody has it open
    assert await collector.collect("t1", dry_run=False) == []
    clock.step(timedelta(seconds=1))
    assert await collector.collect("t2", dry_run=False) == []
    (found,) = await collector.collect("t1", dry_run=True)
    assert (found.place, found.reason, found.size_bytes) == (
        place,
        CollectReason.ABANDONED_UPLOAD,
        2,
    )
    assert len(await provider.stagings()) == 1
    assert await collector.collect("t1", dry_run=False) == [found]
    assert list(await provider.keys()) == []
    assert list(await provider.stagings()) == []


async def test_what_no_record_refers_to_goes_once_it_is_old(
    uploads: Uploads, collector: Collector, provider: MemoryProvider, clock: SteppedClock
) -> None:
    place, alone = Place(tenant="t1", object_id="0a"), Place(tenant="t1", object_id="0b")
    await _committed(uploads, place)
    kept = list(await provider.keys())
    await provider.put(place.data_key("0" * 12), b"another version")
    await provider.put(alone.data_key("1" * 12), b"of no record")
    await provider.put("t1/reserved/0c.000000000000.main.5.00000000", b"")
    await provider.delete(kept[0])  # the entry of the index
    found = await collector.collect("t1", dry_run=False)
    # A completion in another process may be about to put the record of either.
    assert found == []
    assert len(await provider.keys()) == len(kept) + 3
    clock.step(TTL)
    found = await collector.collect("t1", dry_run=True)
    assert [one.reason for one in found] == [CollectReason.LEFTOVER] * 2
    assert sum(one.size_bytes for one in found) == 27
    assert await collector.collect("t1", dry_run=False) == found
    assert list(await provider.keys()) == kept


async def test_an_upload_that_cannot_be_given_up_holds_nothing_else_up(
    uploads: Uploads,
    collector: Collector,
    provider: MemoryProvider,
    clock: SteppedClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for object_id in ("0a", "0b", "0c"):
        place = Place(tenant="t1", object_id=object_id)
        upload = await uploads.create(place, size_bytes=0, container=None)
        await upload.write([(0, b"y")])
        await upload.flush()
    clock.step(TTL - timedelta(seconds=1))
    await uploads.sweep()  # they rest
    clock.step(timedelta(seconds=1))
    await provider.put("t1/uploads/0a", b"{damaged")
    discard = provider.discard_staging

    async def fail(key: str) -> None:
        if "/0b." in key:
            raise UnavailableError("the disk is away")
        await discard(key)

    monkeypatch.setattr(provider, "discard_staging", fail)
    found = await collector.collect("t1", dry_run=False)
    assert [one.place.object_id for one in found] == ["0a", "0c"]
    assert len(await provider.stagings()) == 1
