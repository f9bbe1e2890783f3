"""What is wrong is refused with a precise error, and nothing half-written is ever seen."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from distconv.core.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    QuotaExceededError,
)
from distconv.rpc.errors import translated
from distconv.rpc.tokens import MediaAction
from distconv.storage.testing import OBJECT_ID, Caller, chunk, cut, running_storage
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb

CONTENT = os.urandom(300_000)
QUOTA = 500_000


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    """Somebody whose tenant may store half a megabyte."""
    quotas = [f"local={QUOTA}"]
    async with running_storage(tmp_path, tenant_quotas=quotas) as storage, storage.caller() as lent:
        yield lent


async def _create(caller: Caller, **said: object) -> object_pb2.Upload:
    request = pb.CreateUploadRequest(object=f"objects/{OBJECT_ID}", **said)  # type: ignore[arg-type]
    with translated():
        answer = await caller.stub.CreateUpload(request, metadata=caller.token(MediaAction.WRITE))
    return answer.upload


async def _listed(caller: Caller) -> list[object_pb2.Object]:
    token = caller.token(MediaAction.LIST, "")
    with translated():
        return list(
            (await caller.stub.ListObjects(pb.ListObjectsRequest(), metadata=token)).objects
        )


async def _nothing_is_seen(caller: Caller) -> None:
    committed = [o for o in await _listed(caller) if o.state == object_pb2.OBJECT_STATE_COMMITTED]
    assert committed == []
    with pytest.raises((NotFoundError, FailedPreconditionError)):
        await caller.read()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("..", "without its folder"),
        ("../../etc/passwd", "without its folder"),
        ("a\\b", "without its folder"),
        ("a\0b", "control character 0x00 at position 1"),
        ("a\nb", "control character 0x0a at position 1"),
        ("a" * 1000, "has 1000 characters"),
        ("Ka\u0308se.mov", "form NFC"),
    ],
)
async def test_a_file_name_that_is_none(caller: Caller, name: str, why: str) -> None:
    with pytest.raises(InvalidArgumentError, match=why) as caught:
        await _create(caller, file_name=name)
    assert caught.value.field == "file_name"
    assert await _listed(caller) == []


@pytest.mark.parametrize("labels", [{"Upper": ""}, {"k": "\0"}, {"k": "v" * 256}])
async def test_labels_that_are_none(caller: Caller, labels: dict[str, str]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        await _create(caller, labels=labels)
    assert caught.value.field == "labels"
    assert await _listed(caller) == []


async def test_more_bytes_than_were_declared(caller: Caller) -> None:
    upload = await caller.create(1000)
    with pytest.raises(InvalidArgumentError, match="does not lie within the declared size of 1000"):
        await caller.write(upload, [chunk(CONTENT, 0, 1001)])
    with pytest.raises(InvalidArgumentError, match="was opened with 1000 bytes") as caught:
        await caller.complete(upload, CONTENT)
    assert caught.value.field == "size_bytes"
    await _nothing_is_seen(caller)


async def test_fewer_bytes_than_were_declared(caller: Caller) -> None:
    upload = await caller.create(len(CONTENT))
    await caller.write(upload, cut(CONTENT[:-1]))
    with pytest.raises(FailedPreconditionError, match="1 of 300000 bytes"):
        await caller.complete(upload, CONTENT)
    with pytest.raises(InvalidArgumentError, match="was opened with 300000 bytes"):
        await caller.complete(upload, CONTENT[:-1])
    await _nothing_is_seen(caller)


async def test_a_range_that_was_sent_twice_and_differs_is_caught_by_the_digest(
    caller: Caller,
) -> None:
    upload = await caller.create(len(CONTENT))
    other = bytes(len(CONTENT))
    await caller.write(upload, [chunk(other, 1000, 5000)])
    await caller.write(upload, cut(CONTENT))  # what lies over it is skipped: it is there already
    with pytest.raises(DataLossError, match="what arrived is not what was sent"):
        await caller.complete(upload, CONTENT)
    await _nothing_is_seen(caller)
    # What was wrong is freed, and does not count any more.
    stored = await caller.put(CONTENT)
    assert stored.size_bytes == len(CONTENT)


@pytest.mark.parametrize("offset", [-1, -(2**62), 2**62, 2**63 - 1])
async def test_an_offset_that_is_none(caller: Caller, offset: int) -> None:
    upload = await caller.create(0)
    bad = chunk(CONTENT, 0, 10)
    bad.offset = offset
    with pytest.raises(InvalidArgumentError) as caught:
        await caller.write(upload, [bad])
    assert caught.value.field == "chunk.offset"
    assert not (await caller.get_upload(upload)).received
    await _nothing_is_seen(caller)


async def test_more_than_the_quota_has_left(caller: Caller) -> None:
    await caller.put(CONTENT)
    with pytest.raises(QuotaExceededError, match="'local' is 500000 bytes, of which 300000") as e:
        await caller.create(200_001, object_id="0other")
    assert e.value.metadata["wanted_bytes"] == "200001"
    assert [o.name for o in await _listed(caller)] == [f"objects/{OBJECT_ID}"]
    await caller.create(200_000, object_id="0other")
    with pytest.raises(QuotaExceededError):
        await caller.create(1, object_id="0more")


async def test_an_upload_of_unknown_size_that_outgrows_the_quota(caller: Caller) -> None:
    upload = await caller.create(0)
    content = os.urandom(QUOTA + 1)
    with pytest.raises(QuotaExceededError, match="the quota of the tenant 'local'"):
        await caller.write(upload, cut(content))
    await _nothing_is_seen(caller)
    await caller.abort(upload)
    await caller.put(content[:QUOTA])


async def test_what_was_reserved_is_given_back_over_a_restart(tmp_path: Path) -> None:
    quotas = [f"local={QUOTA}"]
    async with running_storage(tmp_path, tenant_quotas=quotas) as storage, storage.caller() as one:
        await one.create(QUOTA)
    async with running_storage(tmp_path, tenant_quotas=quotas) as storage, storage.caller() as two:
        with pytest.raises(QuotaExceededError):
            await two.create(1, object_id="0other")
        await two.abort(await two.create(QUOTA))
        await two.put(CONTENT, object_id="0other")
