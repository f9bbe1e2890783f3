"""The index of contents: what it names is there, and what a crash left of it is put right."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.storage.contents import is_entry
from distconv.storage.names import ContentEntry, Place, contents_prefix, parse_content
from distconv.storage.objects import Objects
from distconv.storage.providers.memory import MemoryProvider
from distconv.storage.records import ObjectRecord
from distconv.storage.testing import SteppedClock

SHA = hashlib.sha256(b"x").hexdigest()
OTHER = hashlib.sha256(b"y").hexdigest()


def _record(
    clock: SteppedClock, object_id: str, size_bytes: int = 5, sha256: str = SHA, tenant: str = "t1"
) -> ObjectRecord:
    return ObjectRecord(
        object_id=object_id,
        tenant=tenant,
        nonce="0" * 12,
        size_bytes=size_bytes,
        sha256=sha256,
        received_size_bytes=size_bytes,
        received_sha256=sha256,
        create_time=clock.now(),
        commit_time=clock.now(),
    )


def _place(record: ObjectRecord) -> Place:
    return Place(tenant=record.tenant, object_id=record.object_id)


@pytest.fixture
async def objects(provider: MemoryProvider, clock: SteppedClock) -> Objects:
    """Three objects of one tenant, two of them alike, and one of another."""
    made = Objects(provider)
    for record in (
        _record(clock, "0a"),
        _record(clock, "0b"),
        _record(clock, "0c", sha256=OTHER),
        _record(clock, "0d", size_bytes=5 + 4096, tenant="t2"),
    ):
        await provider.put(_place(record).data_key(), bytes(record.size_bytes))
        await made.commit(_place(record), record)
    return made


async def _entries(provider: MemoryProvider) -> list[str]:
    return [key for key in await provider.keys() if is_entry(key)]


async def test_the_newest_of_a_tenants_own_is_found(objects: Objects) -> None:
    found = await objects.contents.find("t1", 5, SHA)
    assert found is not None
    assert found.object_id == "0b"
    other = await objects.contents.find("t1", 5, OTHER)
    assert other is not None
    assert other.object_id == "0c"
    assert await objects.contents.find("t2", 5, SHA) is None
    assert await objects.contents.is_size_known("t1", 5)
    # Of another size in the same folder, and of another tenant.
    assert not await objects.contents.is_size_known("t2", 5)
    assert not await objects.contents.is_size_known("t1", 5 + 4096)


async def test_what_was_deleted_is_not_found(objects: Objects, provider: MemoryProvider) -> None:
    await objects.delete(Place(tenant="t1", object_id="0b"))
    found = await objects.contents.find("t1", 5, SHA)
    assert found is not None
    assert found.object_id == "0a"
    assert len(await _entries(provider)) == 3


async def test_an_entry_that_lags_behind_is_not_believed(
    objects: Objects, provider: MemoryProvider
) -> None:
    await provider.delete(Place(tenant="t1", object_id="0b").object_key)
    await provider.put(Place(tenant="t1", object_id="0c").content_key(5, SHA, "main"), b"")
    found = await objects.contents.find("t1", 5, SHA)
    assert found is not None
    assert found.object_id == "0a"


async def test_what_is_cut_short_or_lost_is_passed_over(
    objects: Objects, provider: MemoryProvider
) -> None:
    await provider.put(Place(tenant="t1", object_id="0b").data_key(), b"1234")
    found = await objects.contents.find("t1", 5, SHA)
    assert found is not None
    assert found.object_id == "0a"
    await provider.delete(Place(tenant="t1", object_id="0a").data_key())
    assert await objects.contents.find("t1", 5, SHA) is None


async def test_a_record_that_is_damaged_is_passed_over(
    objects: Objects, provider: MemoryProvider
) -> None:
    await provider.put(Place(tenant="t1", object_id="0b").object_key, b"{")
    found = await objects.contents.find("t1", 5, SHA)
    assert found is not None
    assert found.object_id == "0a"


async def test_what_a_crash_left_is_put_right(objects: Objects, provider: MemoryProvider) -> None:
    right = await _entries(provider)
    assert await objects.contents.mend(await provider.keys()) == 0
    await provider.delete(Place(tenant="t1", object_id="0a").content_key(5, SHA, "main"))
    await provider.put(Place(tenant="t1", object_id="0c").content_key(5, SHA, "main"), b"")
    await provider.put(Place(tenant="t1", object_id="0e").content_key(7, SHA, "main"), b"")
    assert await objects.contents.mend(await provider.keys()) == 3
    assert await _entries(provider) == right


async def test_a_record_that_is_damaged_does_not_stop_the_mending(
    objects: Objects, provider: MemoryProvider
) -> None:
    await provider.put(Place(tenant="t1", object_id="0f").object_key, b"{")
    await provider.delete(Place(tenant="t1", object_id="0a").content_key(5, SHA, "main"))
    assert await objects.contents.mend(await provider.keys()) == 1


@given(st.integers(0, 2**62), st.binary())
def test_a_key_says_what_it_was_made_of(size_bytes: int, content: bytes) -> None:
    place = Place(tenant="t-1", object_id="0a_b-c")
    sha256 = hashlib.sha256(content).hexdigest()
    key = place.content_key(size_bytes, sha256, "fast")
    assert parse_content(key) == ContentEntry(
        place=place, size_bytes=size_bytes, sha256=sha256, pool="fast"
    )
    assert key.startswith(contents_prefix("t-1", size_bytes))


async def test_a_note_that_fails_does_not_undo_a_commit(
    provider: MemoryProvider, clock: SteppedClock
) -> None:
    objects = Objects(provider)
    provider.room_bytes = -1
    await objects.contents.note(_record(clock, "0a"))
    assert await objects.contents.find("t1", 5, SHA) is None
