"""Two storage services on one place that neither of them owns."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from distconv.core.errors import (
    AlreadyExistsError,
    CorruptSourceError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)
from distconv.core.profile import Container
from distconv.storage.completion import Completion
from distconv.storage.limits import Limits, Pace
from distconv.storage.names import Place
from distconv.storage.objects import Objects
from distconv.storage.providers.memory import MemoryProvider
from distconv.storage.providers.port import Published
from distconv.storage.quotas import Quotas
from distconv.storage.records import ObjectRecord
from distconv.storage.testing import FakeFinisher, SteppedClock, finished_content
from distconv.storage.threads import Threads
from distconv.storage.upload import Upload
from distconv.storage.uploads import Uploads

PLACE = Place(tenant="t1", object_id="0abc")
CONTENT = os.urandom(5000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
LIMITS = Limits(
    min_free_bytes=0,
    pace=Pace(sync_delay=timedelta(0)),
    upload_ttl=timedelta(hours=1),
    rest_after=timedelta(minutes=5),
)


@pytest.fixture
def provider(tmp_path: Path, clock: SteppedClock) -> MemoryProvider:
    return MemoryProvider(tmp_path, clock=clock, shared=True)


@pytest.fixture
def finisher() -> FakeFinisher:
    return FakeFinisher()


@pytest.fixture
async def two(
    provider: MemoryProvider, clock: SteppedClock, threads: Threads, finisher: FakeFinisher
) -> AsyncIterator[tuple[Uploads, Uploads]]:
    def make() -> Uploads:
        return Uploads(
            provider=provider,
            objects=Objects(provider),
            quotas=Quotas(provider),
            completion=Completion(
                provider=provider,
                finisher=finisher,
                finish_concurrency=1,
                threads=threads,
                clock=clock,
            ),
            threads=threads,
            limits=LIMITS,
            clock=clock,
        )

    both = make(), make()
    yield both
    for uploads in both:
        await uploads.stop()


async def _create(uploads: Uploads, container: Container | None = None) -> Upload:
    return await uploads.create(PLACE, size_bytes=0, container=container)


async def _complete(uploads: Uploads, upload: Upload) -> ObjectRecord:
    return await uploads.complete("t1", upload.id, size_bytes=len(CONTENT), sha256=DIGEST)


async def _only_the_object_is_left(provider: MemoryProvider, record: ObjectRecord) -> None:
    assert list(await provider.keys()) == [
        PLACE.content_key(record.size_bytes, record.sha256, "main"),
        PLACE.data_key(record.version),
        PLACE.object_key,
    ]
    assert list(await provider.stagings()) == []


async def test_an_upload_begun_at_one_goes_on_at_the_other(
    two: tuple[Uploads, Uploads], provider: MemoryProvider
) -> None:
    one, other = two
    upload = await _create(one)
    await upload.write([(0, CONTENT[:2000])])
    await upload.flush()
    there = await other.get("t1", upload.id)
    assert list(there.durable) == [(0, 2000)]
    await there.write([(2000, CONTENT[2000:])])
    record = await _complete(other, there)
    assert await provider.get(PLACE.data_key(record.version)) == CONTENT
    await _only_the_object_is_left(provider, record)
    assert await _complete(one, upload) == record
    with pytest.raises(NotFoundError):
        await one.get("t1", upload.id)


async def test_both_open_the_same_upload(two: tuple[Uploads, Uploads]) -> None:
    here, there = await asyncio.gather(*map(_create, two))
    assert here.id == there.id
    assert (await _create(two[0])).id == here.id


async def test_of_two_completions_at_once_one_becomes_the_object(
    two: tuple[Uploads, Uploads], provider: MemoryProvider, finisher: FakeFinisher
) -> None:
    one, other = two
    upload = await _create(one, Container.MKV)
    await upload.write([(0, CONTENT)])
    await upload.flush()
    there = await other.get("t1", upload.id)
    first = asyncio.create_task(_complete(one, upload))
    second = asyncio.create_task(_complete(other, there))
    while finisher.calls < 2:
        await finisher.started.wait()
        finisher.started.clear()
    finisher.gate.set()
    records = await asyncio.gather(first, second)
    assert records[0] == records[1]
    made = finished_content(CONTENT, Container.MKV)
    assert await provider.get(PLACE.data_key(records[0].version)) == made
    await _only_the_object_is_left(provider, records[0])


@pytest.mark.parametrize("deletes", [False, True])
async def test_what_the_other_gives_up_while_it_is_completed_never_becomes_an_object(
    two: tuple[Uploads, Uploads],
    provider: MemoryProvider,
    finisher: FakeFinisher,
    deletes: bool,
) -> None:
    one, other = two
    upload = await _create(one, Container.MKV)
    await upload.write([(0, CONTENT)])
    completing = asyncio.create_task(_complete(one, upload))
    await finisher.started.wait()
    await (other.delete_object(PLACE) if deletes else other.abort("t1", upload.id))
    finisher.gate.set()
    with pytest.raises(NotFoundError, match="given up"):
        await completing
    assert list(await provider.keys()) == []
    assert list(await provider.stagings()) == []


async def test_what_is_committed_cannot_be_given_up_at_the_other(
    two: tuple[Uploads, Uploads],
) -> None:
    one, other = two
    upload = await _create(one)
    await upload.write([(0, CONTENT)])
    there = await other.get("t1", upload.id)
    await _complete(one, upload)
    with pytest.raises(FailedPreconditionError, match="delete objects/0abc instead"):
        await other.abort("t1", there.id)
    with pytest.raises(AlreadyExistsError):
        await _create(other)


async def test_an_upload_that_one_has_at_rest_lives_while_the_other_fills_it(
    two: tuple[Uploads, Uploads], clock: SteppedClock
) -> None:
    one, other = two
    await _create(one)
    for _ in range(3):
        clock.step(timedelta(minutes=40))
        there = await _create(other)
        await there.write([(there.durable.end, b"x")])
        await there.flush()
        await one.sweep()
    assert (await one.get("t1", there.id)).durable.end == 3
    clock.step(timedelta(minutes=61))
    await one.sweep()  # closes what rests
    await one.sweep()
    with pytest.raises(NotFoundError):
        await other.get("t1", there.id)


async def test_a_content_that_changed_on_its_way_is_not_committed(
    two: tuple[Uploads, Uploads], provider: MemoryProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = await _create(two[0])
    await upload.write([(0, CONTENT)])
    publish = upload.staging.publish

    async def damaged(key: str, size_bytes: int) -> Published:
        await publish(key, size_bytes)
        return Published(sha256="0" * 64)

    monkeypatch.setattr(upload.staging, "publish", damaged)
    with pytest.raises(UnavailableError, match="changed on its way"):
        await _complete(two[0], upload)
    assert list(await provider.keys()) == [PLACE.upload_key]
    monkeypatch.undo()
    await _complete(two[0], upload)


async def test_a_damaged_record_keeps_no_upload_from_expiring(
    two: tuple[Uploads, Uploads], provider: MemoryProvider, clock: SteppedClock
) -> None:
    one, other = two
    for object_id in ("0aaa", "0bbb"):
        place = Place(tenant="t1", object_id=object_id)
        upload = await one.create(place, size_bytes=0, container=None)
        await upload.write([(0, b"x")])
        await upload.flush()
    await provider.put("t1/uploads/0aaa", b"{damaged")
    clock.step(LIMITS.upload_ttl)
    await other.sweep()
    assert await provider.stagings() == []
    assert await provider.keys() == []
    await one.sweep()  # whose files were open


async def test_an_open_upload_with_a_damaged_record_expires_too(
    two: tuple[Uploads, Uploads], provider: MemoryProvider, clock: SteppedClock
) -> None:
    one, _ = two
    upload = await _create(one)
    await upload.write([(0, b"x")])
    await upload.flush()
    await provider.put(PLACE.upload_key, b"{damaged")
    clock.step(LIMITS.upload_ttl)
    await one.sweep()
    assert await provider.keys() == []
    await _create(one)  # and the object can be uploaded anew


async def test_what_fails_of_one_upload_is_passed_over(
    two: tuple[Uploads, Uploads],
    provider: MemoryProvider,
    clock: SteppedClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = two
    for object_id in ("0aaa", "0bbb"):
        place = Place(tenant="t1", object_id=object_id)
        upload = await one.create(place, size_bytes=0, container=None)
        await upload.write([(0, b"x")])
        await upload.flush()
    get = provider.get

    async def fail(key: str) -> bytes:
        if key.endswith("/0aaa"):
            raise UnavailableError("the disk is away")
        return await get(key)

    monkeypatch.setattr(provider, "get", fail)
    clock.step(LIMITS.upload_ttl)
    await other.sweep()
    (left,) = await provider.stagings()
    assert left.key.startswith("t1/data/0aaa.")


async def test_the_slower_of_two_completions_leaves_the_object_that_was_committed(
    two: tuple[Uploads, Uploads],
    provider: MemoryProvider,
    finisher: FakeFinisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = two
    upload = await _create(one, Container.MKV)
    await upload.write([(0, CONTENT)])
    await upload.flush()
    there = await other.get("t1", upload.id)
    committed, go_on = asyncio.Event(), asyncio.Event()
    note, commit = one._objects.contents.note, other._objects.commit

    async def held_after_commit(record: ObjectRecord) -> None:
        committed.set()
        await go_on.wait()
        await note(record)

    async def commit_second(place: Place, record: ObjectRecord) -> ObjectRecord:
        await committed.wait()
        return await commit(place, record)

    monkeypatch.setattr(one._objects.contents, "note", held_after_commit)
    monkeypatch.setattr(other._objects, "commit", commit_second)
    first = asyncio.create_task(_complete(one, upload))
    second = asyncio.create_task(_complete(other, there))
    while finisher.calls < 2:
        await finisher.started.wait()
        finisher.started.clear()
    finisher.gate.set()
    told = await second
    go_on.set()
    assert await first == told
    assert await one._objects.find(PLACE) == told
    await _only_the_object_is_left(provider, told)


async def test_the_failure_of_an_upload_leaves_a_newer_one_of_the_same_object(
    two: tuple[Uploads, Uploads], provider: MemoryProvider, finisher: FakeFinisher
) -> None:
    one, other = two
    upload = await _create(one, Container.MKV)
    await upload.write([(0, CONTENT)])
    await upload.flush()
    there = await other.get("t1", upload.id)
    finisher.error = CorruptSourceError("broken")
    completing = asyncio.create_task(_complete(other, there))
    await finisher.started.wait()
    await one.abort("t1", upload.id)
    newer = await _create(one)
    await newer.write([(0, CONTENT)])
    await newer.flush()
    newer_there = await other.get("t1", newer.id)  # the older one is still being completed here
    finisher.gate.set()
    with pytest.raises(CorruptSourceError):
        await completing
    assert not newer_there.is_gone
    record = await _complete(other, newer_there)
    assert record.nonce == newer.id.nonce
    await _only_the_object_is_left(provider, record)


async def test_a_newer_upload_is_completed_beside_the_older_that_was_given_up(
    two: tuple[Uploads, Uploads], provider: MemoryProvider, finisher: FakeFinisher
) -> None:
    one, other = two
    upload = await _create(one, Container.MKV)
    await upload.write([(0, CONTENT)])
    await upload.flush()
    completing = asyncio.create_task(_complete(other, await other.get("t1", upload.id)))
    await finisher.started.wait()
    await one.abort("t1", upload.id)
    newer = await _create(one)
    await newer.write([(0, CONTENT)])
    await newer.flush()
    record = await _complete(other, newer)
    finisher.gate.set()
    with pytest.raises((AlreadyExistsError, NotFoundError)):
        await completing
    assert await one._objects.find(PLACE) == record
    await _only_the_object_is_left(provider, record)


async def test_reading_an_upload_does_not_keep_it_alive(
    two: tuple[Uploads, Uploads], clock: SteppedClock
) -> None:
    upload = await _create(two[0])
    begun = upload.active_time
    clock.step(timedelta(minutes=1))
    assert await two[0].find_open(PLACE) is upload
    assert upload.active_time == begun
    assert await _create(two[0]) is upload
    assert upload.active_time == clock.now()
