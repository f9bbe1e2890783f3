import asyncio
import hashlib
import os
import random
from pathlib import Path

import google_crc32c
import grpc.aio
import pytest

from distconv.core.errors import (
    AlreadyExistsError,
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    UnimplementedError,
)
from distconv.core.profile import Container
from distconv.core.ranges import RangeSet
from distconv.rpc.errors import translated
from distconv.rpc.tokens import MediaAction
from distconv.storage.testing import (
    CHUNK_BYTES,
    OBJECT_ID,
    Caller,
    FakeFinisher,
    RunningStorage,
    chunk,
    cut,
    finished_content,
    running_storage,
)
from distconv.v1 import object_pb2, profile_pb2
from distconv.v1 import storage_service_pb2 as pb

CONTENT = os.urandom(1_000_003)


def _received(upload: object_pb2.Upload) -> list[tuple[int, int]]:
    return [(r.offset, r.offset + r.length) for r in upload.received]


async def test_an_upload_is_acknowledged_committed_and_read_back(caller: Caller) -> None:
    upload = await caller.create(len(CONTENT))
    assert upload.state == object_pb2.UPLOAD_STATE_OPEN
    acknowledged = await caller.write(upload, cut(CONTENT))
    assert list(RangeSet(acknowledged)) == [(0, len(CONTENT))]
    answer = await caller.complete(upload, CONTENT)
    assert not answer.HasField("report")
    stored = answer.object
    assert stored.name == f"objects/{OBJECT_ID}"
    assert stored.state == object_pb2.OBJECT_STATE_COMMITTED
    assert (stored.size_bytes, stored.tenant) == (len(CONTENT), "local")
    assert stored.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert stored.HasField("commit_time")
    assert await caller.read() == [CONTENT]
    assert (await caller.get_upload(upload)).state == object_pb2.UPLOAD_STATE_COMPLETED
    assert (await caller.complete(upload, CONTENT)).object == stored
    with pytest.raises(AlreadyExistsError):
        await caller.create(len(CONTENT))


async def test_acknowledgements_flow_while_the_stream_is_open(caller: Caller) -> None:
    upload = await caller.create()
    call = caller.begin_write(upload)
    await call.write(pb.WriteRequest(upload=upload.name, chunk=chunk(CONTENT, 0, 1000)))
    response = await call.read()
    assert isinstance(response, pb.WriteResponse)
    assert [(r.offset, r.length) for r in response.acknowledged] == [(0, 1000)]
    call.cancel()


async def test_chunks_in_any_order_on_two_streams_with_duplicates(caller: Caller) -> None:
    upload = await caller.create(len(CONTENT))
    chunks = cut(CONTENT, size=10_000)
    random.Random(4).shuffle(chunks)  # noqa: S311
    halves = [*chunks[:60], *chunks[:5]], [*chunks[55:], *chunks[60:70]]
    await asyncio.gather(*(caller.write(upload, half) for half in halves))
    await caller.complete(upload, CONTENT)
    assert await caller.read() == [CONTENT]


async def test_after_a_break_what_is_missing_is_known_and_enough(caller: Caller) -> None:
    upload = await caller.create(len(CONTENT))
    call = caller.begin_write(upload)
    await call.write(pb.WriteRequest(upload=upload.name))
    for piece in cut(CONTENT)[:5]:
        await call.write(pb.WriteRequest(chunk=piece))
    assert isinstance(await call.read(), pb.WriteResponse)
    call.cancel()
    received = RangeSet(_received(await caller.get_upload(upload)))
    assert received.size_bytes > 0
    gaps = received.gaps(0, len(CONTENT))
    await caller.write(upload, [p for start, end in gaps for p in _within(CONTENT, start, end)])
    await caller.complete(upload, CONTENT)
    assert await caller.read() == [CONTENT]


def _within(content: bytes, start: int, end: int) -> list[object_pb2.Chunk]:
    return [chunk(content, at, min(at + CHUNK_BYTES, end)) for at in range(start, end, CHUNK_BYTES)]


async def test_an_upload_survives_a_restart_of_the_server(tmp_path: Path) -> None:
    async with running_storage(tmp_path) as first, first.caller() as caller:
        upload = await caller.create(len(CONTENT))
        await caller.write(upload, cut(CONTENT)[3:])
    async with running_storage(tmp_path) as second, second.caller() as caller:
        found = await caller.get_upload(upload)
        assert _received(found) == [(3 * CHUNK_BYTES, len(CONTENT))]
        assert (found.size_bytes, found.create_time) == (upload.size_bytes, upload.create_time)
        assert (await caller.create(len(CONTENT))).name == upload.name
        await caller.write(upload, cut(CONTENT)[:3])
        await caller.complete(upload, CONTENT)
    async with running_storage(tmp_path) as third, third.caller() as caller:
        assert await caller.read() == [CONTENT]
        assert (await caller.complete(upload, CONTENT)).object.size_bytes == len(CONTENT)


async def test_nothing_else_is_left_on_disk(tmp_path: Path) -> None:
    async with running_storage(tmp_path) as storage, storage.caller() as caller:
        await caller.put(CONTENT)
        upload = await caller.create(object_id="0other")
        await caller.write(upload, cut(CONTENT))
        await caller.abort(upload)
        await caller.abort(upload)
        with pytest.raises(NotFoundError):
            await caller.get_upload(upload)
    files = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    objects = "storage/objects/local"
    size, sha256 = len(CONTENT), hashlib.sha256(CONTENT).hexdigest()
    lock, entry, content, record = files
    assert lock == "storage/lock"
    assert entry == f"{objects}/contents/{size % 4096:03x}/{size}.{sha256}.{OBJECT_ID}.main"
    assert content.startswith(f"{objects}/data/{OBJECT_ID}.")
    assert record == f"{objects}/objects/{OBJECT_ID}"


async def test_an_object_is_found_by_its_content(caller: Caller) -> None:
    stored = await caller.put(CONTENT)
    token = caller.token(MediaAction.LIST, "")

    async def find(size_bytes: int, sha256: str = "") -> pb.FindObjectResponse:
        request = pb.FindObjectRequest(size_bytes=size_bytes, sha256=sha256)
        with translated():
            return await caller.stub.FindObject(request, metadata=token)

    assert (await find(len(CONTENT))).size_known
    assert not (await find(len(CONTENT) + 1)).size_known
    found = await find(len(CONTENT), stored.sha256)
    assert (found.size_known, found.object) == (True, stored)
    with pytest.raises(NotFoundError, match="no object has"):
        await find(len(CONTENT), "0" * 64)
    for size, sha256, field in [(-1, "", "size_bytes"), (1, "F" * 64, "sha256")]:
        with pytest.raises(InvalidArgumentError) as caught:
            await find(size, sha256)
        assert caught.value.field == field


async def test_an_empty_object_is_possible(caller: Caller) -> None:
    upload = await caller.create()
    stored = (await caller.complete(upload, b"")).object
    assert (stored.size_bytes, stored.sha256) == (0, hashlib.sha256(b"").hexdigest())
    assert await caller.read([(0, 0)]) == [b""]


async def test_a_damaged_chunk_is_refused_after_the_good_ones(caller: Caller) -> None:
    upload = await caller.create(len(CONTENT))
    bad = chunk(CONTENT, CHUNK_BYTES, 2 * CHUNK_BYTES)
    bad.data = bytes([bad.data[0] ^ 1]) + bad.data[1:]
    with pytest.raises(DataLossError, match=f"the chunk at byte {CHUNK_BYTES} .* send it again"):
        await caller.write(upload, [chunk(CONTENT, 0, CHUNK_BYTES), bad])
    assert _received(await caller.get_upload(upload)) == [(0, CHUNK_BYTES)]
    await caller.write(upload, cut(CONTENT))
    await caller.complete(upload, CONTENT)


@pytest.mark.parametrize("crc32c", [-1, 2**32, 2**63 - 1])
async def test_a_checksum_that_is_none_is_refused(caller: Caller, crc32c: int) -> None:
    upload = await caller.create()
    bad = object_pb2.Chunk(offset=0, data=b"abc", crc32c=crc32c)
    with pytest.raises(DataLossError):
        await caller.write(upload, [bad])


@pytest.mark.parametrize(
    ("offset", "length"), [(-1, 1), (-(2**63), 5), (99, 2), (2**63 - 1, 1), (0, 0), (0, 1_048_577)]
)
async def test_a_chunk_outside_is_refused(caller: Caller, offset: int, length: int) -> None:
    upload = await caller.create(100 if length < 1_048_577 else 2_000_000)
    data = bytes(length)
    bad = object_pb2.Chunk(offset=offset, data=data, crc32c=google_crc32c.value(data))
    with pytest.raises(InvalidArgumentError, match=upload.name):
        await caller.write(upload, [bad])
    assert not (await caller.get_upload(upload)).received


async def test_a_wrong_digest_publishes_nothing(caller: Caller, tmp_path: Path) -> None:
    upload = await caller.create()
    await caller.write(upload, cut(CONTENT))
    for _ in range(2):
        with pytest.raises(DataLossError, match="what arrived is not what was sent"):
            await caller.complete(upload, CONTENT, sha256="0" * 64)
    with pytest.raises(NotFoundError):
        await caller.read()
    assert not list((tmp_path / "storage" / "staging").iterdir())
    await caller.abort(upload)
    assert (await caller.put(CONTENT)).size_bytes == len(CONTENT)


@pytest.mark.parametrize("sha256", ["", "0" * 63, "G" * 64, "A" * 64, "0" * 65])
async def test_a_digest_that_is_none_is_refused(caller: Caller, sha256: str) -> None:
    upload = await caller.create()
    with pytest.raises(InvalidArgumentError) as caught:
        await caller.complete(upload, b"", sha256=sha256)
    assert caught.value.field == "sha256"


async def test_missing_bytes_are_listed(caller: Caller) -> None:
    upload = await caller.create()
    await caller.write(upload, [chunk(CONTENT, 10, 1000)])
    with pytest.raises(FailedPreconditionError) as caught:
        await caller.complete(upload, CONTENT[:1010])
    assert caught.value.metadata["missing"] == "0-9,1000-1009"


async def test_many_gaps_still_fit_into_an_answer(caller: Caller) -> None:
    upload = await caller.create()
    await caller.write(upload, [chunk(CONTENT, at, at + 1) for at in range(0, 20_000, 2)])
    with pytest.raises(FailedPreconditionError) as caught:
        await caller.complete(upload, CONTENT[:20_000])
    assert caught.value.metadata["missing"].endswith(",…")
    assert len(_received(await caller.get_upload(upload))) == 10_000


@pytest.mark.parametrize("size_bytes", [-1, 2**62 + 1])
async def test_an_impossible_size_is_refused(caller: Caller, size_bytes: int) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await caller.create(size_bytes)
    assert caught.value.field == "size_bytes"


async def test_ranges_are_served_in_the_order_asked(caller: Caller) -> None:
    await caller.put(CONTENT)
    size = len(CONTENT)
    ranges = [(700_000, 300_003), (0, 1), (size, 0), (5, 600_000), (size - 1, 1)]
    assert await caller.read(ranges) == [
        CONTENT[700_000:],
        CONTENT[:1],
        b"",
        CONTENT[5:600_005],
        CONTENT[-1:],
    ]


async def test_the_first_answer_describes_the_object_before_any_range(caller: Caller) -> None:
    await caller.put(CONTENT)
    call = caller.stub.Read(metadata=caller.token(MediaAction.READ))
    await call.write(pb.ReadRequest(object=f"objects/{OBJECT_ID}"))
    response = await call.read()
    assert isinstance(response, pb.ReadResponse)
    assert response.object.size_bytes == len(CONTENT)
    assert not response.HasField("chunk")
    call.cancel()


@pytest.mark.parametrize("follow", [False, True])
async def test_a_paced_reader_is_sent_chunks_of_its_size_and_no_more_than_it_granted(
    caller: Caller, follow: bool
) -> None:
    content = CONTENT * 4  # more than is read ahead
    if follow:
        await caller.write(await caller.create(len(content)), cut(content))
    else:
        await caller.put(content)
    call = caller.stub.Read(metadata=caller.token(MediaAction.READ))
    chunk_bytes = granted = 100_000
    await call.write(
        pb.ReadRequest(
            object=f"objects/{OBJECT_ID}",
            follow=follow,
            range=object_pb2.ByteRange(offset=0, length=len(content)),
            credit_bytes=granted,
            chunk_bytes=chunk_bytes,
        )
    )
    found, longest, done = b"", 0, False
    while not done:
        response = await call.read()
        assert isinstance(response, pb.ReadResponse)
        found += response.chunk.data
        longest = max(longest, len(response.chunk.data))
        assert longest <= chunk_bytes
        assert len(found) <= granted
        done = response.range_done
        if response.HasField("chunk") and not done:
            chunk_bytes = 200_000 if len(found) > 300_000 else 100_000
            granted = len(found) + chunk_bytes
            await call.write(pb.ReadRequest(credit_bytes=chunk_bytes, chunk_bytes=chunk_bytes))
    assert found == content
    assert longest > 100_000
    call.cancel()


async def _read_all(
    call: "grpc.aio.StreamStreamCall[pb.ReadRequest, pb.ReadResponse]", request: pb.ReadRequest
) -> None:
    await call.write(request)
    while isinstance(await call.read(), pb.ReadResponse):
        pass


@pytest.mark.parametrize("chunk_bytes", [-1, 1, 2**20 + 1])
async def test_a_size_that_no_chunk_has_is_refused(caller: Caller, chunk_bytes: int) -> None:
    await caller.put(CONTENT)
    call = caller.stub.Read(metadata=caller.token(MediaAction.READ))
    whole = object_pb2.ByteRange(offset=0, length=0)
    request = pb.ReadRequest(
        object=f"objects/{OBJECT_ID}", range=whole, credit_bytes=1, chunk_bytes=chunk_bytes
    )
    with pytest.raises(InvalidArgumentError, match=str(chunk_bytes)), translated():
        await _read_all(call, request)


@pytest.mark.parametrize("bad", [(1_000_004, 0), (1_000_003, 1), (0, 1_000_004), (2**63 - 1, 9)])
async def test_reading_beyond_the_end(caller: Caller, bad: tuple[int, int]) -> None:
    await caller.put(CONTENT)
    with pytest.raises(OutOfRangeError, match="the object has 1000003 bytes"):
        await caller.read([(0, 10), bad])


@pytest.mark.parametrize("bad", [(-1, 1), (0, -1), (-(2**63), -(2**63))])
async def test_reading_a_negative_range(caller: Caller, bad: tuple[int, int]) -> None:
    await caller.put(CONTENT)
    with pytest.raises(InvalidArgumentError, match="is no range"):
        await caller.read([bad])


async def test_what_is_being_uploaded_can_be_described_but_not_read(caller: Caller) -> None:
    await caller.create(77)
    with pytest.raises(FailedPreconditionError, match="still being uploaded"):
        await caller.read()
    with translated():
        answer = await caller.stub.GetObject(
            pb.GetObjectRequest(name=f"objects/{OBJECT_ID}"),
            metadata=caller.token(MediaAction.WRITE),
        )
    assert answer.object.state == object_pb2.OBJECT_STATE_UPLOADING
    assert answer.object.size_bytes == 77


async def test_the_checksums_of_blocks_are_told_when_they_are_asked_for(caller: Caller) -> None:
    content = os.urandom(3 * 1024 * 1024 + 5)
    upload = await caller.create()  # of a size that nobody knows
    await caller.write(upload, reversed(cut(content)))
    await caller.complete(upload, content)
    for asked in (False, True):
        with translated():
            answer = await caller.stub.GetObject(
                pb.GetObjectRequest(name=f"objects/{OBJECT_ID}", with_blocks=asked),
                metadata=caller.token(MediaAction.READ),
            )
        assert answer.HasField("blocks") == asked
    assert answer.blocks.block_size_bytes == 1024 * 1024
    blocks = [content[at : at + 1024 * 1024] for at in range(0, len(content), 1024 * 1024)]
    assert answer.blocks.crc32c == b"".join(
        google_crc32c.value(block).to_bytes(4, "big") for block in blocks
    )


async def test_a_reader_that_stops_and_goes_leaves_no_file_open(
    caller: Caller, storage: RunningStorage
) -> None:
    content = bytes(20_000_000)
    await caller.put(content)
    before = _open_files()
    call = caller.stub.Read(metadata=caller.token(MediaAction.READ))
    whole = object_pb2.ByteRange(offset=0, length=0)
    await call.write(pb.ReadRequest(object=f"objects/{OBJECT_ID}", range=whole))
    await call.read()
    assert _open_files() > before
    call.cancel()
    async with asyncio.timeout(5):
        while _open_files() > before:  # noqa: ASYNC110  # nobody tells when a file closes
            await asyncio.sleep(0.01)


def _open_files() -> int:
    return sum(
        OBJECT_ID in str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()
    )


async def test_delete_is_idempotent_and_a_new_upload_may_follow(caller: Caller) -> None:
    await caller.put(CONTENT)
    for _ in range(2):
        with translated():
            await caller.stub.DeleteObject(
                pb.DeleteObjectRequest(name=f"objects/{OBJECT_ID}"),
                metadata=caller.token(MediaAction.DELETE),
            )
    with pytest.raises(NotFoundError, match="does not exist"):
        await caller.read()
    await caller.put(b"other")
    assert await caller.read() == [b"other"]


async def test_objects_are_listed_newest_first_in_pages(caller: Caller) -> None:
    ids = [f"0{n}" for n in range(5)]
    for object_id in ids:
        await caller.put(b"x", object_id=object_id)
    await caller.create(object_id="05")

    async def page(size: int, token: str = "") -> pb.ListObjectsResponse:
        with translated():
            return await caller.stub.ListObjects(
                pb.ListObjectsRequest(page_size=size, page_token=token),
                metadata=caller.token(MediaAction.LIST, ""),
            )

    first = await page(4)
    assert [o.name for o in first.objects] == [
        "objects/05",
        "objects/04",
        "objects/03",
        "objects/02",
    ]
    assert first.objects[0].state == object_pb2.OBJECT_STATE_UPLOADING
    second = await page(4, first.next_page_token)
    assert [o.name for o in second.objects] == ["objects/01", "objects/00"]
    assert not second.next_page_token
    assert len((await page(0)).objects) == 6
    for size, token in [
        (-1, ""),
        (1001, ""),
        (1, "%"),
        (1, "YWZ0ZXI6Li4="),
        (1, "ä"),
        (1, "a" * 999),
    ]:
        with pytest.raises(InvalidArgumentError):
            await page(size, token)


async def test_there_are_no_urls_yet(caller: Caller) -> None:
    request = pb.GetUrlRequest(name=f"objects/{OBJECT_ID}")
    with pytest.raises(NotFoundError), translated():
        await caller.stub.GetUrl(request, metadata=caller.token(MediaAction.READ))
    await caller.put(b"x")
    with pytest.raises(UnimplementedError), translated():
        await caller.stub.GetUrl(request, metadata=caller.token(MediaAction.READ))
    request.ttl.seconds = 8 * 24 * 3600
    with pytest.raises(InvalidArgumentError), translated():
        await caller.stub.GetUrl(request, metadata=caller.token(MediaAction.READ))


async def test_a_client_that_leaves_does_not_stop_the_finishing(
    caller: Caller, finisher: FakeFinisher
) -> None:
    upload = await caller.create(finish=object_pb2.FinishSpec(container=profile_pb2.CONTAINER_MKV))
    await caller.write(upload, cut(CONTENT))
    leaving = asyncio.create_task(caller.complete(upload, CONTENT))
    async with asyncio.timeout(5):
        await finisher.started.wait()
    assert (await caller.get_upload(upload)).state == object_pb2.UPLOAD_STATE_COMPLETING
    with pytest.raises(FailedPreconditionError, match="being completed"):
        await caller.write(upload, cut(CONTENT))
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    finisher.gate.set()
    answer = await caller.complete(upload, CONTENT)
    assert finisher.calls == 1
    assert answer.report.received_sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert answer.report.received_size_bytes == len(CONTENT)
    assert answer.report.media.duration_s == 2.5
    assert await caller.read() == [finished_content(CONTENT, Container.MKV)]
    assert (await caller.complete(upload, CONTENT)) == answer


async def test_an_unknown_container_is_refused(caller: Caller) -> None:
    with pytest.raises(InvalidArgumentError, match="99 is not a container"):
        await caller.create(finish=object_pb2.FinishSpec(container=99))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["Write", "Read"])
async def test_an_empty_stream_is_refused(caller: Caller, method: str) -> None:
    call: grpc.aio.StreamStreamCall[object, object]
    call = getattr(caller.stub, method)(metadata=caller.token(MediaAction.WRITE))
    await call.done_writing()
    with pytest.raises(InvalidArgumentError, match="the stream is empty"), translated():
        await call.read()
