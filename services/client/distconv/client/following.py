"""Fetch an object while it is still being written, and go on where it broke off."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc.aio

from distconv.client.access import ObjectAccess
from distconv.client.connection import Connection
from distconv.client.convert.object import to_stored
from distconv.client.download import allow, checked
from distconv.client.keeping import Keeper
from distconv.client.partial import PartialFile
from distconv.client.stored import Direction, ObjectState, StoredObject, Transfer
from distconv.client.streams import (
    MAX_DAMAGED,
    StallGuard,
    persistently,
    stall_guard,
    unwrapped,
)
from distconv.core.errors import DamagedObjectError, DataLossError, UnavailableError
from distconv.rpc.errors import translated
from distconv.rpc.pacing import Pacer
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
        pacer = Pacer()
        keeper = Keeper(self._target, pacer, self._report)
        request = storage.ReadRequest(
            object=self._access.object,
            range=pb.ByteRange(offset=self._target.written_bytes),
            follow=True,
        )
        committed: StoredObject | None = None
        with translated(self._access.address), unwrapped():
            call = self._access.stub.Read(metadata=tuple(self._access.metadata))
            try:
                async with stall_guard("download") as guard, asyncio.TaskGroup() as group:
                    group.create_task(allow(call, request, keeper, pacer))
                    committed = await self._receive(call, keeper, guard)
                    keeper.end()
            finally:
                call.cancel()
                await keeper.kept()
        self._committed = committed

    async def _receive(
        self, call: "ReadCall", keeper: Keeper, guard: StallGuard
    ) -> StoredObject | None:
        expected = self._target.written_bytes
        async for response in call:
            guard.moved()
            self._patience.progressed()
            if response.HasField("object"):
                found = to_stored(response.object)
                if found.state is ObjectState.COMMITTED:
                    return found
            if response.HasField("chunk"):
                data = checked(response.chunk, expected)
                expected += len(data)
                keeper.put(data)
            if response.range_done:
                keeper.end()  # nothing more is asked for: what is left to come is the commit
        return None

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(
                Transfer(
                    direction=Direction.DOWNLOAD,
                    done_bytes=self._target.written_bytes,
                    total_bytes=None,
                )
            )
