"""Fetch an object from storage into a file, and go on where it broke off."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc.aio

from distconv.client.access import ObjectAccess
from distconv.client.connection import Connection
from distconv.client.convert.object import to_stored
from distconv.client.keeping import Keeper
from distconv.client.partial import PartialFile
from distconv.client.stored import Direction, StoredObject, Transfer
from distconv.client.streams import (
    MAX_DAMAGED,
    StallGuard,
    persistently,
    stall_guard,
    unwrapped,
)
from distconv.core.errors import DamagedObjectError, DataLossError, UnavailableError
from distconv.rpc.convert.object import intact_data
from distconv.rpc.errors import translated
from distconv.rpc.pacing import Pacer
from distconv.v1 import object_pb2 as pb
from distconv.v1 import storage_service_pb2 as storage

if TYPE_CHECKING:
    ReadCall = grpc.aio.StreamStreamCall[storage.ReadRequest, storage.ReadResponse]

OnTransfer = Callable[[Transfer], None]


async def download(
    connection: Connection,
    name: str,
    target: PartialFile,
    on_progress: OnTransfer | None = None,
) -> StoredObject:
    """Fetch the object `name` into `target` and put it in its place, checked and durable."""
    access = await ObjectAccess.grant(connection, pb.MEDIA_ACTION_READ, name)
    return await _Fetching(connection, access, target, on_progress).run()


class _Fetching:
    """One download under way."""

    def __init__(
        self,
        connection: Connection,
        access: ObjectAccess,
        target: PartialFile,
        on_progress: OnTransfer | None,
    ) -> None:
        self._connection = connection
        self._access = access
        self._target = target
        self._on_progress = on_progress
        self._patience = connection.patience()
        self._stored: StoredObject | None = None
        self._damaged = 0

    async def run(self) -> StoredObject:
        """Describe the object, fetch it to its end, commit it."""
        stored = await persistently(self._access, self._patience, self._describe)
        self._stored = stored
        await self._target.reserve(stored.size_bytes)
        self._report()
        while self._target.written_bytes < stored.size_bytes:
            await persistently(self._access, self._patience, self._fetch)
        await self._target.commit(size_bytes=stored.size_bytes, sha256=stored.sha256)
        return stored

    async def _describe(self) -> StoredObject:
        response = await self._connection.once(
            self._access.stub.GetObject,
            storage.GetObjectRequest(name=self._access.object),
            metadata=self._access.metadata,
            address=self._access.address,
        )
        return to_stored(response.object)

    async def _fetch(self) -> None:
        try:
            await self._stream()
        except DamagedObjectError:  # damaged where it lies
            raise
        except DataLossError:
            self._damaged += 1
            if self._damaged > MAX_DAMAGED:
                raise
            return

    async def _stream(self) -> None:
        pacer = Pacer()
        keeper = Keeper(self._target, pacer, self._report)
        request = storage.ReadRequest(
            object=self._access.object, range=pb.ByteRange(offset=self._target.written_bytes)
        )
        with translated(self._access.address), unwrapped():
            call = self._access.stub.Read(metadata=tuple(self._access.metadata))
            try:
                async with stall_guard("download") as guard, asyncio.TaskGroup() as group:
                    group.create_task(allow(call, request, keeper, pacer))
                    await self._receive(call, keeper, guard)
                    keeper.end()
            finally:
                call.cancel()
                await keeper.kept()

    async def _receive(self, call: "ReadCall", keeper: Keeper, guard: StallGuard) -> None:
        expected = self._target.written_bytes
        async for response in call:
            guard.moved()
            if response.HasField("chunk"):
                self._patience.progressed()  # a server that only answers brings nothing
                data = checked(response.chunk, expected)
                expected += len(data)
                keeper.put(data)
            if response.range_done:
                self._require_all(expected)
                return
        raise UnavailableError("the stream of the download ended before everything was there")

    def _require_all(self, received_bytes: int) -> None:
        if self._stored is not None and received_bytes < self._stored.size_bytes:
            raise DamagedObjectError.of(
                self._stored.name, f"{received_bytes} of {self._stored.size_bytes} bytes are stored"
            )

    def _report(self) -> None:
        if self._on_progress is not None and self._stored is not None:
            self._on_progress(
                Transfer(
                    direction=Direction.DOWNLOAD,
                    done_bytes=self._target.written_bytes,
                    total_bytes=self._stored.size_bytes,
                )
            )


async def allow(
    call: "ReadCall", request: storage.ReadRequest, keeper: Keeper, pacer: Pacer
) -> None:
    """Send `request`, and credit as what comes is kept, until the keeper's end.

    Raises what makes keeping fail.
    """
    request.credit_bytes = pacer.extend()
    try:
        await call.write(request)
        while not keeper.ended:
            await keeper.moved()
            if credit_bytes := pacer.extend():
                await call.write(storage.ReadRequest(credit_bytes=credit_bytes))
        await call.done_writing()
    except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
        return  # the call has ended; the receiver tells why


def checked(chunk: pb.Chunk, expected_offset: int) -> bytes:
    """Return the bytes of a chunk. Raises DataLossError when it is another one, or damaged."""
    if chunk.offset != expected_offset:
        raise DataLossError(
            f"storage sent bytes from {chunk.offset} where those from {expected_offset} were next"
        )
    data = intact_data(chunk)
    if data is None:
        raise DataLossError(f"a chunk at byte {chunk.offset} arrived damaged (CRC32C)")
    return data
