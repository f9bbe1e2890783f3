"""Fetch an object while it is still being written, and go on where it broke off."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc.aio

from distconv.client.access import ObjectAccess
from distconv.client.connection import Connection
from distconv.client.convert.object import to_stored
from distconv.client.download import checked
from distconv.client.partial import PartialFile
from distconv.client.source import BLOCK_BYTES
from distconv.client.stored import Direction, ObjectState, StoredObject, Transfer
from distconv.client.streams import MAX_DAMAGED, persistently, stall_guard
from distconv.core.errors import DamagedObjectError, DataLossError, UnavailableError
from distconv.rpc.errors import translated
from distconv.rpc.limits import CHUNK_BYTES
from distconv.v1 import object_pb2 as pb
from distconv.v1 import storage_service_pb2 as storage

if TYPE_CHECKING:
    ReadCall = grpc.aio.StreamStreamCall[storage.ReadRequest, storage.ReadResponse]

OnTransfer = Callable[[Transfer], None]


async def follow(
    connection: Connection,
    name: str,
    target: PartialFile,
    on_progress: OnTransfer | None = None,
) -> StoredObject:
    """Fetch the bytes of an object's upload into `target` as they come.

    Returns the object once it is committed. What is in `target` then is what
    was sent, as far as it came: of an object that was finished, not yet the
    object. Raises UploadFailedError when the upload fails.
    """
    access = await ObjectAccess.grant(connection, pb.MEDIA_ACTION_READ, name)
    following = _Following(connection, access, target, on_progress)
    return await following.run()


class _Following:
    """One object that is followed."""

    def __init__(
        self,
        connection: Connection,
        access: ObjectAccess,
        target: PartialFile,
        on_progress: OnTransfer | None,
    ) -> None:
        self._access = access
        self._target = target
        self._on_progress = on_progress
        self._patience = connection.patience()
        self._committed: StoredObject | None = None
        self._damaged = 0

    async def run(self) -> StoredObject:
        """Follow until the object is committed."""
        self._report()
        while self._committed is None:
            await persistently(self._access, self._patience, self._fetch)
        return self._committed

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
        if self._committed is None:
            raise UnavailableError("the stream that was followed ended before the upload did")

    async def _stream(self) -> None:
        request = storage.ReadRequest(
            object=self._access.object,
            range=pb.ByteRange(offset=self._target.written_bytes),
            follow=True,
        )
        with translated(self._access.address):
            call = self._access.stub.Read(iter([request]), metadata=tuple(self._access.metadata))
            try:
                await self._receive(call)
            finally:
                call.cancel()

    async def _receive(self, call: "ReadCall") -> None:
        waiting: list[bytes] = []
        waiting_bytes = 0
        expected = self._target.written_bytes
        async with stall_guard("download") as guard:
            async for response in call:
                guard.moved()
                self._patience.progressed()
                if response.HasField("object"):
                    found = to_stored(response.object)
                    if found.state is ObjectState.COMMITTED:
                        await self._keep(waiting)
                        self._committed = found
                        return
                if response.HasField("chunk"):
                    data = checked(response.chunk, expected)
                    waiting.append(data)
                    expected += len(data)
                    waiting_bytes += len(data)
                # A chunk that is not full was the last that had arrived: it is seen at once.
                if waiting_bytes >= BLOCK_BYTES or len(response.chunk.data) < CHUNK_BYTES:
                    await self._keep(waiting)
                    waiting, waiting_bytes = [], 0
            await self._keep(waiting)

    async def _keep(self, parts: list[bytes]) -> None:
        if parts:
            await self._target.append(parts)
            self._report()

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(
                Transfer(
                    direction=Direction.DOWNLOAD,
                    done_bytes=self._target.written_bytes,
                    total_bytes=None,
                )
            )
