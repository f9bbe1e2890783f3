"""The port to storage over gRPC, with tokens that dispatch signs for itself."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import grpc.aio

from distconv.core.errors import DeadlineExceededError, NotFoundError, UnavailableError
from distconv.core.names import bare, object_name
from distconv.dispatch.objects.port import Collected, StoredObject
from distconv.dispatch.objects.wire import to_collected
from distconv.rpc.channel import bearer_metadata, open_channel
from distconv.rpc.errors import translated
from distconv.rpc.tokens import MediaAction, MediaTokens
from distconv.v1 import object_pb2, storage_service_pb2_grpc
from distconv.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:  # a class of the stubs alone
    from distconv.v1.storage_service_pb2_grpc import StorageServiceAsyncStub

# Storage answers from an index; what takes longer is as good as away.
CALL_TIMEOUT_S = 5.0
# Listing and collecting go through records; nobody waits for them but a person.
_SWEEP_TIMEOUT_S = 60.0
_PAGE = 1000
# A token for one call at once.
_TOKEN_TTL = timedelta(minutes=1)
# A little longer than a channel waits before it looks again (`rpc.channel`), its jitter with it.
_RETURN_S = 6.5
_SUBJECT = "dispatch"

_R = TypeVar("_R")


class StorageObjects:
    """Ask the first storage service that answers."""

    def __init__(
        self,
        addresses: Callable[[], Sequence[str]],
        tokens: MediaTokens,
        *,
        tls_ca: bytes | None = None,
    ) -> None:
        """`addresses` is asked at every call: an embedded storage's is known late."""
        self._addresses = addresses
        self._tokens = tokens
        self._tls_ca = tls_ca
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def close(self) -> None:
        """Close the channels."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    async def stat(self, tenant: str, object_id: str) -> StoredObject | None:
        """Return an object, or None when the tenant has none of that id."""
        request = pb.GetObjectRequest(name=object_name(object_id))
        metadata = self._metadata(tenant, object_id, MediaAction.READ)

        async def call(stub: "StorageServiceAsyncStub") -> pb.GetObjectResponse:
            return await stub.GetObject(request, metadata=metadata, timeout=CALL_TIMEOUT_S)

        try:
            found = (await self._first(call)).object
        except NotFoundError:
            return None
        return _stored(found)

    async def delete(self, tenant: str, object_id: str) -> None:
        """Delete an object; a missing one is deleted already."""
        request = pb.DeleteObjectRequest(name=object_name(object_id))
        metadata = self._metadata(tenant, object_id, MediaAction.DELETE)

        async def call(stub: "StorageServiceAsyncStub") -> pb.DeleteObjectResponse:
            return await stub.DeleteObject(request, metadata=metadata, timeout=CALL_TIMEOUT_S)

        await self._first(call)

    async def page(self, tenant: str, token: str) -> tuple[Sequence[StoredObject], str]:
        """Return a page of the tenant's objects and the token of the next."""
        request = pb.ListObjectsRequest(page_size=_PAGE, page_token=token)
        metadata = self._metadata(tenant, "", MediaAction.LIST)

        async def call(stub: "StorageServiceAsyncStub") -> pb.ListObjectsResponse:
            return await stub.ListObjects(request, metadata=metadata, timeout=_SWEEP_TIMEOUT_S)

        answer = await self._first(call)
        return [_stored(found) for found in answer.objects], answer.next_page_token

    async def collect(self, tenant: str, *, dry_run: bool) -> Sequence[Collected]:
        """Have storage collect what it alone knows of."""
        request = pb.CollectLeftoversRequest(dry_run=dry_run)
        metadata = self._metadata(tenant, "", MediaAction.COLLECT)

        async def call(stub: "StorageServiceAsyncStub") -> pb.CollectLeftoversResponse:
            return await stub.CollectLeftovers(request, metadata=metadata, timeout=_SWEEP_TIMEOUT_S)

        return [to_collected(one) for one in (await self._first(call)).collected]

    def _metadata(
        self, tenant: str, object_id: str, action: MediaAction
    ) -> tuple[tuple[str, str], ...]:
        token, _ = self._tokens.sign(
            tenant=tenant, subject=_SUBJECT, object_id=object_id, action=action, ttl=_TOKEN_TTL
        )
        return tuple(bearer_metadata(token))

    async def _first(self, call: "Callable[[StorageServiceAsyncStub], Awaitable[_R]]") -> _R:
        addresses = list(self._addresses())
        last = UnavailableError("storage is embedded in dispatch, which only begins; try again")
        for _ in range(2):
            for address in addresses:
                try:
                    with translated(address, of_storage=True):
                        return await call(self._stub(address))
                except UnavailableError as error:
                    last = error
                except DeadlineExceededError:
                    last = UnavailableError(f"storage at {address} gives no answer in time")
            if not await self._one_is_back(addresses):
                break
        if len(addresses) < 2:
            raise last
        raise UnavailableError(
            f"none of the storage services at {', '.join(addresses)} can be asked; the last of "
            f"them: {last.message}"
        ) from last

    async def _one_is_back(self, addresses: Sequence[str]) -> bool:
        """Wait for one of several services that was away and may be back.

        Its channel, which found nobody there, does not look at once again.
        """
        if len(addresses) < 2:
            return False
        coming = [asyncio.ensure_future(self._channels[a].channel_ready()) for a in addresses]
        try:
            done, _ = await asyncio.wait(
                coming, timeout=_RETURN_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for waiting in coming:
                waiting.cancel()
        return bool(done)

    def _stub(self, address: str) -> "StorageServiceAsyncStub":
        if address not in self._channels:
            self._channels[address] = open_channel(address, tls_ca=self._tls_ca)
        return storage_service_pb2_grpc.StorageServiceStub(self._channels[address])


def _stored(found: object_pb2.Object) -> StoredObject:
    return StoredObject(
        id=bare(found.name, "objects"),
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        committed=found.state == object_pb2.OBJECT_STATE_COMMITTED,
    )
