import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from distconv.core.errors import (
    AlreadyExistsError,
    CorruptSourceError,
    DataLossError,
    DiskFullError,
    DistconvError,
    EncodeFailedError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from distconv.core.profile import Container
from distconv.storage.completion import Completion
from distconv.storage.limits import Limits, Pace
from distconv.storage.names import Place, UploadId
from distconv.storage.objects import Objects
from distconv.storage.providers.memory import MemoryProvider
from distconv.storage.quotas import Quotas
from distconv.storage.records import ObjectRecord
from distconv.storage.recovery import recover
from distconv.storage.testing import FakeFinisher, SteppedClock, finished_content
from distconv.storage.threads import Threads
from distconv.storage.upload import Upload
from distconv.storage.uploads import Uploads

PLACE = Place(tenant="t1", object_id="0abc")
CONTENT = os.urandom(5000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
LIMITS = Limits(
    max_object_bytes=1_000_000,
    max_fragments=8,
    min_free_bytes=0,
    pace=Pace(sync_delay=timedelta(0)),
    upload_ttl=timedelta(hours=1),
    rest_after=timedelta(minutes=5),
)


@pytest.fixture
def finisher() -> FakeFinisher:
    return FakeFinisher()


@pytest.fixture
async def uploads(
    provider: MemoryProvider, clock: SteppedClock, threads: Threads, finisher: FakeFinisher
) -> AsyncIterator[Uploads]:
    made = _make(provider, clock, threads, finisher)
    yield made
    await made.stop()


def _make(
    provider: MemoryProvider, clock: SteppedClock, threads: Threads, finisher: FakeFinisher
) -> Uploads:
    completion = Completion(
        provider=provider, finisher=finisher, finish_concurrency=1, threads=threads, clock=clock
    )
    return Uploads(
        provider=provider,
        objects=Objects(provider),
        quotas=Quotas(provider),
        completion=completion,
        threads=threads,
        limits=LIMITS,
        clock=clock,
    )


async def _create(
    uploads: Uploads, *, size_bytes: int = 0, container: Container | None = None
) -> Upload:
    return await uploads.create(PLACE, size_bytes=size_bytes, container=container)


async def _filled(uploads: Uploads, container: Container | None = None) -> Upload:
    upload = await _create(uploads, container=container)
    await upload.write([(2000, CONTENT[2000:]), (0, CONTENT[:2000])])
    return upload


async def _complete(uploads: Uploads, upload: Upload, sha256: str = DIGEST) -> ObjectRecord:
    return await uploads.complete("t1", upload.id, size_bytes=len(CONTENT), sha256=sha256)


async def test_an_upload_becomes_an_object(uploads: Uploads, provider: MemoryProvider) -> None:
    upload = await _filled(uploads)
    record = await _complete(uploads, upload)
    assert (record.size_bytes, record.sha256) == (5000, DIGEST)
    content = PLACE.data_key(record.version)
    assert await provider.get(content) == CONTENT
    assert list(await provider.keys()) == [
        PLACE.content_key(5000, DIGEST, "main"),
        content,
        PLACE.object_key,
    ]
    assert list(await provider.stagings()) == []


async def test_creating_again_returns_the_open_upload(uploads: Uploads) -> None:
    upload = await _filled(uploads)
    assert await _create(uploads) is upload
    assert await _create(uploads, size_bytes=9) is upload


async def test_creating_again_with_another_size_is_refused(uploads: Uploads) -> None:
    await _create(uploads, size_bytes=9)
    with pytest.raises(InvalidArgumentError, match="with 9 bytes is open"):
        await _create(uploads, size_bytes=10)


@pytest.mark.parametrize("size_bytes", [-1, 1_000_001, 2**63 - 1, -(2**63)])
async def test_an_impossible_size_is_refused(uploads: Uploads, size_bytes: int) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await _create(uploads, size_bytes=size_bytes)
    assert caught.value.field == "size_bytes"


async def test_no_room_is_said_before_the_first_byte(
    uploads: Uploads, provider: MemoryProvider
) -> None:
    provider.room_bytes = 1000
    with pytest.raises(DiskFullError, match="1000 bytes left"):
        await _create(uploads, size_bytes=1001)
    assert list(await provider.stagings()) == []


async def test_a_record_that_cannot_be_put_leaves_nothing(
    uploads: Uploads, provider: MemoryProvider
) -> None:
    provider.room_bytes = 5
    with pytest.raises(DiskFullError):
        await _create(uploads)
    assert list(await provider.stagings()) == []
    with pytest.raises(NotFoundError):
        await uploads.get("t1", UploadId.new("0abc"))


async def test_a_committed_object_takes_no_other_upload(uploads: Uploads) -> None:
    await _complete(uploads, await _filled(uploads))
    with pytest.raises(AlreadyExistsError, match="objects/0abc is committed"):
        await _create(uploads)


async def test_completing_again_answers_the_same(uploads: Uploads) -> None:
    upload = await _filled(uploads)
    record = await _complete(uploads, upload)
    assert await _complete(uploads, upload) == record
    with pytest.raises(DataLossError, match="was completed with 5000 bytes"):
        await _complete(uploads, upload, "0" * 64)


async def test_what_is_missing_is_listed(uploads: Uploads) -> None:
    upload = await _create(uploads)
    await upload.write([(10, CONTENT[10:4990])])
    with pytest.raises(FailedPreconditionError, match="20 of 5000 bytes") as caught:
        await _complete(uploads, upload)
    assert caught.value.metadata["missing"] == "0-9,4990-4999"
    await upload.write([(0, CONTENT[:10]), (4990, CONTENT[4990:])])
    await _complete(uploads, upload)


async def test_more_than_the_size_is_refused_and_the_upload_goes_on(uploads: Uploads) -> None:
    upload = await _filled(uploads)
    await upload.write([(5000, b"x")])
    with pytest.raises(InvalidArgumentError, match="bytes up to 5001 have arrived"):
        await _complete(uploads, upload)
    await upload.write([(5001, b"y")])


async def test_another_size_than_declared_is_refused(uploads: Uploads) -> None:
    upload = await _create(uploads, size_bytes=6000)
    with pytest.raises(InvalidArgumentError, match="was opened with 6000 bytes"):
        await _complete(uploads, upload)


async def test_a_wrong_digest_is_final_and_frees_the_bytes(
    uploads: Uploads, provider: MemoryProvider
) -> None:
    upload = await _filled(uploads)
    for _ in range(2):
        with pytest.raises(DataLossError, match=DIGEST):
            await _complete(uploads, upload, "0" * 64)
    assert list(await provider.keys()) == []
    assert list(await provider.stagings()) == []
    with pytest.raises(FailedPreconditionError, match="has failed"):
        await uploads.get("t1", upload.id)
    with pytest.raises(NotFoundError):
        await upload.write([(0, b"x")])
    await uploads.abort("t1", upload.id)
    again = await _filled(uploads)
    assert again.id != upload.id
    await _complete(uploads, again)


async def test_duplicates_are_harmless_and_the_first_bytes_stay(uploads: Uploads) -> None:
    upload = await _filled(uploads)
    await upload.write([(0, CONTENT[:100]), (50, b"?" * 200), (4000, CONTENT[4000:])])
    await _complete(uploads, upload)


async def test_pieces_that_overlap_in_one_batch_are_written_once(uploads: Uploads) -> None:
    upload = await _create(uploads)
    await upload.write([(0, CONTENT[:3000]), (1000, CONTENT[1000:4000]), (500, CONTENT[500:])])
    await _complete(uploads, upload)


@pytest.mark.parametrize(
    ("offset", "length", "field"),
    [
        (-1, 1, "chunk.offset"),
        (-(2**63), 1, "chunk.offset"),
        (0, 0, "chunk.data"),
        (0, 1024 * 1024 + 1, "chunk.data"),
        (999_999, 2, "chunk.offset"),
        (2**63 - 1, 1, "chunk.offset"),
    ],
)
async def test_a_piece_outside_is_refused(
    uploads: Uploads, offset: int, length: int, field: str
) -> None:
    upload = await _create(uploads)
    with pytest.raises(InvalidArgumentError, match=r"uploads/0abc\.") as caught:
        upload.check_piece(offset, length)
    assert caught.value.field == field


async def test_a_piece_beyond_the_declared_size_is_refused(uploads: Uploads) -> None:
    upload = await _create(uploads, size_bytes=100)
    upload.check_piece(99, 1)
    with pytest.raises(InvalidArgumentError, match="the declared size of 100"):
        upload.check_piece(99, 2)


async def test_scattered_crumbs_are_bounded(uploads: Uploads) -> None:
    upload = await _create(uploads)
    await upload.write([(at * 10, b"x") for at in range(9)])
    with pytest.raises(ResourceExhaustedError, match="more than 8 separate"):
        await upload.write([(1000, b"x")])


async def test_a_flush_makes_all_durable_in_few_syncs(uploads: Uploads) -> None:
    upload = await _filled(uploads)
    await upload.flush()
    assert list(upload.durable) == [(0, 5000)]


async def test_a_failed_sync_loses_what_was_not_durable_and_says_so(
    uploads: Uploads, provider: MemoryProvider
) -> None:
    upload = await _create(uploads)
    await upload.write([(0, CONTENT[:100])])
    await upload.flush()
    provider.fails_to_sync = True
    await upload.write([(100, CONTENT[100:])])
    with pytest.raises(DiskFullError):
        await upload.flush()
    assert list(upload.durable) == [(0, 100)]
    provider.fails_to_sync = False
    with pytest.raises(FailedPreconditionError, match="are missing"):
        await _complete(uploads, upload)
    await upload.write([(100, CONTENT[100:])])
    assert (await _complete(uploads, upload)).sha256 == DIGEST


async def test_a_failed_write_counts_for_nothing(
    uploads: Uploads, provider: MemoryProvider
) -> None:
    upload = await _create(uploads)
    await upload.write([(0, CONTENT[:100])])
    provider.room_bytes = 10
    with pytest.raises(DiskFullError):
        await upload.write([(100, CONTENT[100:])])
    provider.room_bytes = None
    await upload.write([(100, CONTENT[100:])])
    assert (await _complete(uploads, upload)).sha256 == DIGEST


async def test_finishing_replaces_the_content_and_keeps_what_arrived_on_record(
    uploads: Uploads, provider: MemoryProvider, finisher: FakeFinisher
) -> None:
    finisher.gate.set()
    record = await _complete(uploads, await _filled(uploads, Container.MP4))
    made = finished_content(CONTENT, Container.MP4)
    assert await provider.get(PLACE.data_key(record.version)) == made
    assert record.sha256 == hashlib.sha256(made).hexdigest()
    assert (record.received_size_bytes, record.received_sha256) == (5000, DIGEST)
    assert record.finished is not None


async def test_a_second_completion_joins_the_first_and_the_first_may_leave(
    uploads: Uploads, finisher: FakeFinisher
) -> None:
    upload = await _filled(uploads, Container.MKV)
    first = asyncio.create_task(_complete(uploads, upload))
    await finisher.started.wait()
    second = asyncio.create_task(_complete(uploads, upload))
    with pytest.raises(FailedPreconditionError, match="with another size or digest"):
        await _complete(uploads, upload, "0" * 64)
    with pytest.raises(FailedPreconditionError, match="takes no more bytes"):
        await upload.write([(0, b"x")])
    first.cancel()
    finisher.gate.set()
    record = await second
    assert finisher.calls == 1
    assert await _complete(uploads, upload) == record


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (CorruptSourceError("broken media"), True),
        (EncodeFailedError("ffmpeg was killed"), False),
        (DiskFullError("no room for the remux"), False),
    ],
)
async def test_what_another_try_may_mend_leaves_the_upload_open(
    uploads: Uploads,
    provider: MemoryProvider,
    finisher: FakeFinisher,
    error: DistconvError,
    final: bool,
) -> None:
    upload = await _filled(uploads, Container.MKV)
    finisher.gate.set()
    finisher.error = error
    for _ in range(2):
        with pytest.raises(type(error), match=error.message):
            await _complete(uploads, upload)
    assert finisher.calls == (1 if final else 2)
    finisher.error = None
    if final:
        assert list(await provider.stagings()) == []
    else:
        await _complete(uploads, upload)


async def test_no_room_to_commit_leaves_the_upload_open_and_nothing_visible(
    uploads: Uploads, provider: MemoryProvider
) -> None:
    upload = await _filled(uploads)
    provider.room_bytes = 5050
    with pytest.raises(DiskFullError):
        await _complete(uploads, upload)
    assert list(await provider.keys()) == [PLACE.upload_key]
    provider.room_bytes = None
    await _complete(uploads, upload)


async def test_aborting_frees_the_bytes_and_may_be_repeated(
    uploads: Uploads, provider: MemoryProvider
) -> None:
    upload = await _filled(uploads)
    for _ in range(2):
        await uploads.abort("t1", upload.id)
    assert list(await provider.keys()) == []
    assert list(await provider.stagings()) == []
    with pytest.raises(NotFoundError, match="does not exist"):
        await uploads.get("t1", upload.id)
    with pytest.raises(NotFoundError, match="was given up"):
        await upload.write([(0, b"x")])


async def test_aborting_cuts_a_completion_off(uploads: Uploads, finisher: FakeFinisher) -> None:
    upload = await _filled(uploads, Container.MKV)
    completing = asyncio.create_task(_complete(uploads, upload))
    await finisher.started.wait()
    await uploads.abort("t1", upload.id)
    with pytest.raises(UnavailableError, match="was cut off"):
        await completing
    assert finisher.cancelled == 1


async def test_a_completed_upload_cannot_be_aborted(uploads: Uploads) -> None:
    upload = await _filled(uploads)
    await _complete(uploads, upload)
    with pytest.raises(FailedPreconditionError, match="delete objects/0abc instead"):
        await uploads.abort("t1", upload.id)


async def test_another_tenant_sees_nothing(uploads: Uploads) -> None:
    upload = await _filled(uploads)
    with pytest.raises(NotFoundError):
        await uploads.get("t2", upload.id)
    await uploads.abort("t2", upload.id)
    await uploads.get("t1", upload.id)


async def test_deleting_takes_the_upload_along(uploads: Uploads, provider: MemoryProvider) -> None:
    await _filled(uploads)
    for _ in range(2):
        await uploads.delete_object(PLACE)
    assert list(await provider.keys()) == []
    assert list(await provider.stagings()) == []


async def test_an_abandoned_upload_expires(
    uploads: Uploads, provider: MemoryProvider, clock: SteppedClock
) -> None:
    upload = await _filled(uploads)
    clock.step(timedelta(minutes=59))
    await upload.write([(0, b"x")])
    clock.step(timedelta(minutes=59))
    await uploads.sweep()
    assert upload.expire_time == clock.now() + timedelta(minutes=1)
    clock.step(timedelta(minutes=1))
    await uploads.sweep()
    assert list(await provider.keys()) == []
    assert list(await provider.stagings()) == []


async def test_an_upload_with_a_stream_neither_expires_nor_rests(
    uploads: Uploads, clock: SteppedClock
) -> None:
    upload = await _filled(uploads)
    upload.users += 1
    clock.step(timedelta(days=1))
    await uploads.sweep()
    assert await uploads.get("t1", upload.id) is upload
    upload.users -= 1


async def test_an_idle_upload_rests_and_is_found_again(
    uploads: Uploads, clock: SteppedClock
) -> None:
    upload = await _filled(uploads)
    clock.step(timedelta(minutes=5))
    await uploads.sweep()
    again = await uploads.get("t1", upload.id)
    assert again is not upload
    assert (await _complete(uploads, again)).sha256 == DIGEST


async def test_stopping_cuts_completions_off_and_keeps_the_bytes(
    provider: MemoryProvider, clock: SteppedClock, threads: Threads, finisher: FakeFinisher
) -> None:
    first = _make(provider, clock, threads, finisher)
    upload = await _filled(first, Container.MKV)
    completing = asyncio.create_task(_complete(first, upload))
    await finisher.started.wait()
    await first.stop()
    with pytest.raises(UnavailableError):
        await completing
    with pytest.raises(UnavailableError, match="shutting down"):
        await _create(first)
    finisher.gate.set()
    assert await recover(provider) == 0
    second = _make(provider, clock, threads, finisher)
    assert list((await second.get("t1", upload.id)).durable) == [(0, 5000)]
    await _complete(second, upload)
    await second.stop()


async def test_recovery_removes_what_a_crash_left_between_two_steps(
    uploads: Uploads, provider: MemoryProvider
) -> None:
    record = await _complete(uploads, await _filled(uploads))
    left = Place(tenant="t1", object_id="0def")
    # published, but the record was never put
    await provider.put(left.data_key("0123456789ab"), b"x")
    # published, but another completion's record was put
    await provider.put(PLACE.data_key("0123456789ab"), b"x")
    # a staging made before its record, and one whose object is committed
    await provider.stage(left.staging_key(UploadId.new("0def")))
    await provider.stage(PLACE.staging_key(UploadId(object_id="0abc", nonce=record.nonce)))
    # a damaged record, and a whole one whose staging is gone
    await provider.put(Place(tenant="t2", object_id="0def").upload_key, b"{}")
    lost = await uploads.create(Place(tenant="t2", object_id="0abc"), size_bytes=0, container=None)
    await lost.staging.discard()
    assert await recover(provider) == 6
    assert list(await provider.keys()) == [
        PLACE.content_key(5000, DIGEST, "main"),
        PLACE.data_key(record.version),
        PLACE.object_key,
    ]
    assert list(await provider.stagings()) == []
