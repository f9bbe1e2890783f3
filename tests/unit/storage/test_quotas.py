"""What a tenant or a pool may hold, whoever asks at once, over any number of processes."""

import asyncio
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distconv.core.errors import QuotaExceededError
from distconv.storage.names import Place
from distconv.storage.objects import Objects
from distconv.storage.providers.memory import MemoryProvider
from distconv.storage.quotas import STEP_BYTES, QuotaLimits, Quotas
from distconv.storage.records import ObjectRecord, UploadRecord
from distconv.storage.testing import SteppedClock

CLOCK = SteppedClock()
LIMITS = QuotaLimits(by_tenant={"t1": 1000}, by_pool={"fast": 500})


def _upload(
    object_id: str, size_bytes: int, *, tenant: str = "t1", pool: str = "main"
) -> UploadRecord:
    return UploadRecord(
        nonce=os.urandom(6).hex(),
        object_id=object_id,
        tenant=tenant,
        size_bytes=size_bytes,
        create_time=CLOCK.now(),
        pool=pool,
    )


async def _commit(provider: MemoryProvider, upload: UploadRecord, size_bytes: int) -> Place:
    place = Place(tenant=upload.tenant, object_id=upload.object_id)
    record = ObjectRecord(
        object_id=upload.object_id,
        tenant=upload.tenant,
        nonce=upload.nonce,
        size_bytes=size_bytes,
        sha256="0" * 64,
        received_size_bytes=size_bytes,
        received_sha256="0" * 64,
        create_time=CLOCK.now(),
        commit_time=CLOCK.now(),
        pool=upload.pool,
    )
    await Objects(provider).commit(place, record)
    return place


async def test_what_uploads_declare_is_reserved(provider: MemoryProvider) -> None:
    quotas = Quotas(provider, LIMITS)
    upload = _upload("0a", 600)
    await quotas.reserve(upload)
    with pytest.raises(QuotaExceededError) as caught:
        await quotas.reserve(_upload("0b", 401))
    assert caught.value.message.startswith(
        "the quota of the tenant 't1' is 1000 bytes, of which 600"
    )
    assert caught.value.metadata == {
        "quota_bytes": "1000",
        "used_bytes": "600",
        "wanted_bytes": "401",
    }
    await quotas.reserve(_upload("0b", 400))
    await quotas.release(Place(tenant="t1", object_id="0a"), "0" * 12)
    with pytest.raises(QuotaExceededError):
        await quotas.reserve(_upload("0c", 600))
    await quotas.release(Place(tenant="t1", object_id="0a"), upload.nonce)
    await quotas.reserve(_upload("0c", 600))


async def test_what_is_committed_counts_once_and_until_it_is_deleted(
    provider: MemoryProvider,
) -> None:
    quotas = Quotas(provider, LIMITS)
    upload = _upload("0a", 600)
    await quotas.reserve(upload)
    place = await _commit(provider, upload, 600)
    await quotas.reserve(_upload("0b", 400))  # though the upload still has its reservation
    await quotas.release(place, upload.nonce)
    with pytest.raises(QuotaExceededError):
        await quotas.reserve(_upload("0c", 1))
    await Objects(provider).delete(place)
    await quotas.reserve(_upload("0c", 600))


async def test_an_upload_of_unknown_size_reserves_as_it_grows(provider: MemoryProvider) -> None:
    quotas = Quotas(provider, QuotaLimits(other_tenants=STEP_BYTES + 10))
    upload, other = _upload("0a", 0), _upload("0b", 0)
    await quotas.reserve(upload)
    await quotas.reserve(other)
    await quotas.cover(upload, 1)
    await quotas.cover(other, 10)  # a step does not fit any more, ten bytes do
    with pytest.raises(QuotaExceededError, match="11 bytes more"):
        await quotas.cover(other, 11)
    await quotas.cover(other, 10)
    await quotas.cover(upload, STEP_BYTES)
    # Another process goes on with it, and knows nothing of what this one covered.
    await Quotas(provider, QuotaLimits(other_tenants=STEP_BYTES + 10)).cover(upload, 7)
    assert (await quotas.used_by_pool())["main"] == STEP_BYTES + 10


async def test_a_pool_has_a_capacity_over_all_tenants(provider: MemoryProvider) -> None:
    quotas = Quotas(provider, LIMITS)
    await quotas.reserve(_upload("0a", 300, pool="fast"))
    with pytest.raises(QuotaExceededError, match="the capacity of the storage pool 'fast'"):
        await quotas.reserve(_upload("0b", 201, tenant="t2", pool="fast"))
    await quotas.reserve(_upload("0b", 200, tenant="t2", pool="fast"))
    await quotas.reserve(_upload("0c", 10_000, tenant="t2"))
    assert dict(await quotas.used_by_pool()) == {"fast": 500}


async def test_without_a_quota_nothing_is_put(provider: MemoryProvider) -> None:
    quotas = Quotas(provider)
    await quotas.reserve(_upload("0a", 10**15))
    await quotas.cover(_upload("0b", 0), 10**15)
    await quotas.release(Place(tenant="t1", object_id="0a"), "0" * 12)
    assert list(await provider.keys()) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(0, 600), min_size=2, max_size=8))
async def test_whoever_begins_at_once_a_quota_is_never_exceeded(
    provider: MemoryProvider, sizes: list[int]
) -> None:
    for key in await provider.keys():
        await provider.delete(key)
    uploads = [_upload(f"0{n}", size) for n, size in enumerate(sizes)]
    answers = await asyncio.gather(
        *(Quotas(provider, LIMITS).reserve(upload) for upload in uploads), return_exceptions=True
    )
    let_in = sum(u.size_bytes for u, answer in zip(uploads, answers, strict=True) if answer is None)
    assert let_in <= 1000
    assert sum((await Quotas(provider, LIMITS).used_by_pool()).values()) == let_in
