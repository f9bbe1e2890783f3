import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import grpc.aio
import pytest

from distconv.core.errors import (
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from distconv.rpc.channel import bearer_metadata
from distconv.rpc.errors import translated
from distconv.rpc.tokens import MediaAction, MediaTokens
from distconv.storage.testing import (
    OBJECT_ID,
    Caller,
    RunningStorage,
    SteppedClock,
    cut,
    running_storage,
)
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb
from distconv.v1.storage_service_pb2_grpc import StorageServiceStub

NAME = f"objects/{OBJECT_ID}"
UPLOAD = f"uploads/{OBJECT_ID}.0123456789ab"
_RANGE = object_pb2.ByteRange(offset=0, length=1)


async def _all(stub: StorageServiceStub, method: str, metadata: object) -> object:
    """Call one method as it should be called, with that metadata."""
    requests: dict[str, object] = {
        "CreateUpload": pb.CreateUploadRequest(object=NAME),
        "Write": pb.WriteRequest(upload=UPLOAD),
        "SignSegment": pb.SignSegmentRequest(upload=UPLOAD, range=_RANGE),
        "ConfirmSegment": pb.ConfirmSegmentRequest(upload=UPLOAD, range=_RANGE),
        "GetUpload": pb.GetUploadRequest(name=UPLOAD),
        "CompleteUpload": pb.CompleteUploadRequest(name=UPLOAD, sha256="0" * 64),
        "AbortUpload": pb.AbortUploadRequest(name=UPLOAD),
        "Read": pb.ReadRequest(object=NAME),
        "GetObject": pb.GetObjectRequest(name=NAME),
        "FindObject": pb.FindObjectRequest(size_bytes=1),
        "ListObjects": pb.ListObjectsRequest(),
        "DeleteObject": pb.DeleteObjectRequest(name=NAME),
        "ListPools": pb.ListPoolsRequest(),
        "CollectLeftovers": pb.CollectLeftoversRequest(),
        "GetUrl": pb.GetUrlRequest(name=NAME),
    }
    with translated():
        if method in ("Write", "Read"):
            call = getattr(stub, method)(metadata=metadata)
            # A server that refuses may end the call first; why is told by what is read.
            with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
                await call.write(requests[method])
                await call.done_writing()
            return await call.read()
        answer: Awaitable[object] = getattr(stub, method)(requests[method], metadata=metadata)
        return await answer


METHODS = {
    "CreateUpload": MediaAction.WRITE,
    "Write": MediaAction.WRITE,
    "SignSegment": MediaAction.WRITE,
    "ConfirmSegment": MediaAction.WRITE,
    "GetUpload": MediaAction.WRITE,
    "CompleteUpload": MediaAction.WRITE,
    "AbortUpload": MediaAction.WRITE,
    "Read": MediaAction.READ,
    "FindObject": MediaAction.LIST,
    "ListObjects": MediaAction.LIST,
    "ListPools": MediaAction.LIST,
    "DeleteObject": MediaAction.DELETE,
    "CollectLeftovers": MediaAction.COLLECT,
    "GetUrl": MediaAction.READ,
}
ALL_METHODS = [*METHODS, "GetObject"]


@pytest.mark.parametrize("method", ALL_METHODS)
async def test_without_a_token_nothing_is_served(caller: Caller, method: str) -> None:
    with pytest.raises(UnauthenticatedError, match="media access token"):
        await _all(caller.stub, method, ())


@pytest.mark.parametrize("method", ALL_METHODS)
async def test_a_token_of_another_key_does_not_hold(caller: Caller, method: str) -> None:
    forged = MediaTokens(b"x" * 32, SteppedClock())
    token, _ = forged.sign(
        tenant="local",
        subject="test",
        object_id=OBJECT_ID,
        action=METHODS.get(method, MediaAction.READ),
        ttl=timedelta(days=9999),
    )
    with pytest.raises(UnauthenticatedError, match="not one that dispatch signed"):
        await _all(caller.stub, method, bearer_metadata(token))


@pytest.mark.parametrize("method", ALL_METHODS)
async def test_an_expired_token_says_so(caller: Caller, method: str) -> None:
    action = METHODS.get(method, MediaAction.READ)
    with pytest.raises(UnauthenticatedError, match="has expired"):
        await _all(caller.stub, method, caller.token(action, ttl=timedelta(seconds=-1)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("action", MediaAction)
async def test_a_token_allows_its_action_alone(
    caller: Caller, method: str, action: MediaAction
) -> None:
    token = caller.token(
        action, "" if action in (MediaAction.LIST, MediaAction.COLLECT) else OBJECT_ID
    )
    if METHODS[method] is action:
        with suppress(NotFoundError):
            await _all(caller.stub, method, token)
    else:
        with pytest.raises(PermissionDeniedError, match="the media token allows to"):
            await _all(caller.stub, method, token)


@pytest.mark.parametrize("method", ALL_METHODS)
async def test_a_token_for_another_object_is_refused(caller: Caller, method: str) -> None:
    action = METHODS.get(method, MediaAction.READ)
    with pytest.raises(PermissionDeniedError):
        await _all(caller.stub, method, caller.token(action, "0other"))


@pytest.mark.parametrize("action", [MediaAction.READ, MediaAction.WRITE, MediaAction.DELETE])
async def test_any_token_for_the_object_describes_it(caller: Caller, action: MediaAction) -> None:
    await caller.put(b"x")
    answer = await _all(caller.stub, "GetObject", caller.token(action))
    assert isinstance(answer, pb.GetObjectResponse)
    assert answer.object.name == NAME


async def test_a_list_token_describes_nothing(caller: Caller) -> None:
    with pytest.raises(PermissionDeniedError):
        await _all(caller.stub, "GetObject", caller.token(MediaAction.LIST, ""))


async def test_tenants_do_not_see_one_another(storage: RunningStorage, caller: Caller) -> None:
    await caller.put(b"ours")
    upload = await caller.create(object_id="0other")
    await caller.write(upload, cut(b"ours too"))
    async with storage.caller(tenant="theirs") as stranger:
        with pytest.raises(NotFoundError):
            await stranger.read()
        with pytest.raises(NotFoundError):
            await stranger.get_upload(upload)
        with pytest.raises(NotFoundError):
            await stranger.complete(upload, b"ours too")
        await stranger.abort(upload)
        listed = await _all(stranger.stub, "ListObjects", stranger.token(MediaAction.LIST, ""))
        assert isinstance(listed, pb.ListObjectsResponse)
        assert not listed.objects
        await _all(stranger.stub, "DeleteObject", stranger.token(MediaAction.DELETE))
        await stranger.put(b"theirs")
        assert await stranger.read() == [b"theirs"]
    assert await caller.read() == [b"ours"]
    await caller.complete(upload, b"ours too")


HOSTILE = [
    "..",
    "../../../etc/passwd",
    "a/../../b",
    "a\0b",
    "a\x1b[31mb",
    "x" * 1000,
    "e\u0301",
    "\u202eabc",
    "",
    "~root",
    "$(id)",
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
@pytest.mark.parametrize("tenant", ["local", "../x"])
async def test_a_hostile_name_is_refused_even_with_a_token_for_it(
    storage: RunningStorage, tmp_path: Path, hostile: str, tenant: str
) -> None:
    upload = f"uploads/{hostile}.0123456789ab"
    calls: list[tuple[MediaAction, str, object]] = [
        (MediaAction.WRITE, "CreateUpload", pb.CreateUploadRequest(object=f"objects/{hostile}")),
        (MediaAction.WRITE, "GetUpload", pb.GetUploadRequest(name=upload)),
        (MediaAction.WRITE, "AbortUpload", pb.AbortUploadRequest(name=upload)),
        (MediaAction.DELETE, "DeleteObject", pb.DeleteObjectRequest(name=f"objects/{hostile}")),
        (MediaAction.READ, "GetObject", pb.GetObjectRequest(name=f"objects/{hostile}")),
    ]
    before = sorted(tmp_path.rglob("*"))
    async with storage.caller(tenant=tenant) as caller:
        for action, method, request in calls:
            with pytest.raises(InvalidArgumentError) as caught, translated():
                await getattr(caller.stub, method)(request, metadata=caller.token(action, hostile))
            assert len(caught.value.message) < 300
    assert sorted(tmp_path.rglob("*")) == before


async def test_a_hostile_tenant_reaches_no_disk(storage: RunningStorage, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    async with storage.caller(tenant="../../x") as caller:
        with pytest.raises(InvalidArgumentError):
            await caller.create()
        with pytest.raises(InvalidArgumentError):
            await _all(caller.stub, "ListObjects", caller.token(MediaAction.LIST, ""))
    assert sorted(tmp_path.rglob("*")) == before


async def test_an_upload_is_given_up_in_its_time(tmp_path: Path) -> None:
    clock = SteppedClock()
    async with (
        running_storage(tmp_path, clock=clock, upload_ttl_s=3600) as storage,
        storage.caller() as caller,
    ):
        upload = await caller.create()
        assert upload.expire_time.seconds == upload.create_time.seconds + 3600
        clock.step(timedelta(hours=2))
        await storage.app.uploads.sweep()
        with pytest.raises(NotFoundError, match="given up or has expired"):
            await caller.get_upload(upload)
