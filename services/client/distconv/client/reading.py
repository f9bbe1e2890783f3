"""Read an object from storage into a file, from where the file ends, and go on after a break."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc.aio

from distconv.client.access import ObjectAccess
from distconv.client.convert.object import to_stored
from distconv.client.file_writer import FileWriter
from distconv.client.partial import PartialFile
from distconv.client.patience import Patience
from distconv.client.stored import ObjectState, StoredObject
from distconv.client.streams import (
    MAX_DAMAGED,
    StallGuard,
    persistently,
    stall_guard,
    unwrapped,
)
from distconv.core.errors import DamagedObjectError, DataLossError, UnavailableError
from distconv.rpc.convert.object import intact_data
from distconv.rpc.pacing import Pacer
from distconv.v1 import object_pb2 as pb
from distconv.v1 import storage_service_pb2 as storage

if TYPE_CHECKING:
    ReadCall = grpc.aio.StreamStreamCall[storage.ReadRequest, storage.ReadResponse]


class Reading:
    """One object that is read, whole or as it comes; paced by what is written of it."""

    def __init__(
        self,
        access: ObjectAccess,
        patience: Patience,
        target: PartialFile,
        *,
        follow: bool,
        on_written: Callable[[], None],
    ) -> None:
        """With `follow` an upload is read as it comes, until it is committed."""
        self._access = access
        self._patience = patience
        self._target = target
        self._follow = follow
        self._on_written = on_written
        self._damaged = 0
        self._ended = False
        self._committed: StoredObject | None = None

    async def run(self) -> StoredObject | None:
        """Read to the end; of what is followed return the object that it became.

        Raises DataLossError when chunks keep arriving damaged, UnavailableError when storage
        stays away, DeadlineExceededError when nothing moves, DiskFullError, and what storage says.
        """
        while not self._ended:
            await persistently(self._access, self._patience, self._step)
        return self._committed

    async def _step(self) -> None:
        try:
            await self._stream()
        except DamagedObjectError:  # damaged where it lies
            raise
        except DataLossError:
            self._damaged += 1
            if self._damaged > MAX_DAMAGED:
                raise

    async def _stream(self) -> None:
        pacer = Pacer()
        writer = FileWriter(self._target, pacer, self._on_written)
        grant = pacer.grant()
        request = storage.ReadRequest(
            object=self._access.object,
            range=pb.ByteRange(offset=self._target.written_bytes),
            follow=self._follow,
            credit_bytes=grant.credit_bytes,
            chunk_bytes=grant.chunk_bytes,
        )
        with self._access.translated(), unwrapped():
            call = self._access.stub.Read(metadata=tuple(self._access.metadata))
            try:
                async with stall_guard("download") as guard, asyncio.TaskGroup() as group:
                    group.create_task(_send_requests(call, request, writer, pacer))
                    await self._receive(call, writer, guard)
                    writer.end()
            finally:
                call.cancel()
                await writer.drained()
        self._ended = True

    async def _receive(self, call: "ReadCall", writer: FileWriter, guard: StallGuard) -> None:
        expected = self._target.written_bytes
        async for response in call:
            guard.moved()
            if self._follow or response.HasField("chunk"):
                self._patience.progressed()  # a server that only answers brings nothing
            if response.HasField("chunk"):
                data = checked(response.chunk, expected)
                expected += len(data)
                await writer.put(data)
            if response.range_done:
                writer.end()  # nothing more is asked for: what is left to come is the commit
                if not self._follow:
                    return
            if self._follow and response.HasField("object"):
                found = to_stored(response.object)
                if found.state is ObjectState.COMMITTED:
                    self._committed = found
                    return
        raise UnavailableError("the stream of the download ended before everything was there")


async def _send_requests(
    call: "ReadCall", request: storage.ReadRequest, writer: FileWriter, pacer: Pacer
) -> None:
    """Send `request`, and credit as what comes is written, until the writer's end.

    Raises what makes writing fail.
    """
    try:
        await call.write(request)
        while not writer.ended:
            await writer.progressed()
            grant = pacer.grant()
            if not grant.is_empty:
                await call.write(
                    storage.ReadRequest(
                        credit_bytes=grant.credit_bytes, chunk_bytes=grant.chunk_bytes
                    )
                )
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
