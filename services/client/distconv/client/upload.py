"""Send a file to storage, and go on where it broke off."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc.aio

from distconv.client.access import ObjectAccess
from distconv.client.connection import Connection
from distconv.client.convert.object import to_stored
from distconv.client.failures import LOST
from distconv.client.local import SourceChangedError
from distconv.client.remembered import RememberedUpload
from distconv.client.source import SourceFile
from distconv.client.stored import Direction, StoredObject, Transfer
from distconv.client.streams import (
    MAX_DAMAGED,
    StallGuard,
    is_refused,
    persistently,
    stall_guard,
    unwrapped,
)
from distconv.client.upload_order import first_ranges, ordered
from distconv.core.errors import (
    AlreadyExistsError,
    DataLossError,
    DistconvError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from distconv.core.ranges import Range, RangeSet
from distconv.rpc.chunk_messages import write_request
from distconv.rpc.convert.object import to_ranges
from distconv.rpc.pacing import Pacer
from distconv.rpc.window import Window
from distconv.v1 import object_pb2 as pb
from distconv.v1 import storage_service_pb2 as storage

if TYPE_CHECKING:
    WriteCall = grpc.aio.StreamStreamCall[bytes, storage.WriteResponse]

OnTransfer = Callable[[Transfer], None]

# Sent and not yet durable. It is read again, not held here: wide enough for a storage that syncs
# only now and then. What is on its way is bounded apart from that: it is lost with either process.
_WINDOW_BYTES = 32 * 1024 * 1024
# Finishing checks and syncs the whole file; storage may take minutes for a large one.
_COMPLETE_TIMEOUT_S = 1800.0
_ABORT_TIMEOUT_S = 2.0
# How long a careful start waits for the word on its first chunk.
_FIRST_WORD_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What a file is called at storage: a name, empty for none, and labels."""

    file_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


async def upload(
    connection: Connection,
    source: SourceFile,
    called: Called,
    on_progress: OnTransfer | None = None,
    memory: RememberedUpload | None = None,
) -> StoredObject:
    """Upload `source` as a new object and return it once it is committed.

    After an error or cancellation the upload is given up on the server too, as
    far as the server can be reached. With a `memory` it stays there instead, and
    an upload that is remembered is gone on with.
    """
    if memory is not None:
        return await _resumable(connection, source, called, on_progress, memory)
    async with opened(connection, source, called, on_progress) as sending:
        return await sending.send()


@asynccontextmanager
async def opened(
    connection: Connection,
    source: SourceFile,
    called: Called,
    on_progress: OnTransfer | None = None,
    *,
    object_name: str = "",
) -> AsyncIterator["Upload"]:
    """Open an upload, or again that to `object_name`; left with an error it is given up."""
    access = await ObjectAccess.grant(connection, pb.MEDIA_ACTION_WRITE, object_name)
    sending = Upload(connection, access, source, called, on_progress)
    try:
        await sending.open()
        yield sending
    except BaseException as error:
        if not (sending.kept_when_lost and isinstance(error, LOST)):
            await asyncio.shield(sending.abort())
        raise


async def _resumable(
    connection: Connection,
    source: SourceFile,
    called: Called,
    on_progress: OnTransfer | None,
    memory: RememberedUpload,
) -> StoredObject:
    access = await _remembered_access(connection, memory)
    sending = Upload(connection, access, source, called, on_progress)
    try:
        await sending.open()
        stored = await sending.send()
    except AlreadyExistsError:  # it was committed, and its client died before it was told
        stored = await sending.committed()
    except (DataLossError, NotFoundError):  # storage gave it up: nothing to go on with
        memory.forget()
        raise
    except SourceChangedError:  # the file was written to: what was sent is half of it
        await asyncio.shield(sending.abort())
        memory.forget()
        raise
    memory.forget()
    return stored


async def _remembered_access(connection: Connection, memory: RememberedUpload) -> ObjectAccess:
    """Return access to the object that is remembered, if it is there still, else to a new one."""
    if memory.object:
        with suppress(InvalidArgumentError, NotFoundError, PermissionDeniedError):
            return await ObjectAccess.grant(connection, pb.MEDIA_ACTION_WRITE, memory.object)
    access = await ObjectAccess.grant(connection, pb.MEDIA_ACTION_WRITE)
    memory.remember(access.object)
    return access


class Upload:
    """One upload under way."""

    def __init__(
        self,
        connection: Connection,
        access: ObjectAccess,
        source: SourceFile,
        called: Called,
        on_progress: OnTransfer | None,
    ) -> None:
        self._connection = connection
        self._access = access
        self._source = source
        self._called = called
        self._on_progress = on_progress
        self._patience = connection.patience()
        self._received = RangeSet()
        self._reported_bytes = -1
        self._uncertain = False
        self._careful = False
        self._damaged = 0
        self._name = ""
        self._first: list[Range] = []
        self.kept_when_lost = False  # set where it is gone on with once a server is back

    @property
    def object(self) -> str:
        """Return the name of the object that it becomes; a job may be created on it already."""
        return self._access.object

    async def open(self) -> None:
        """Open it at storage."""
        self._first = await first_ranges(self._source)
        await persistently(self._access, self._patience, self._create)

    async def send(self) -> StoredObject:
        """Send what is missing until nothing is, what a decoder needs first, and complete it."""
        while self._missing():
            await persistently(self._access, self._patience, self._send_missing)
        return await persistently(self._access, self._patience, self._complete)

    async def committed(self) -> StoredObject:
        """Return the object that is there already. Raises DataLossError when it is another."""
        response = await self._connection.once(
            self._access.stub.GetObject,
            storage.GetObjectRequest(name=self._access.object),
            metadata=self._access.metadata,
            address=self._access.address,
        )
        stored = to_stored(response.object)
        if stored.sha256 != await self._source.sha256():
            raise DataLossError(f"{stored.name} has other content than the input; upload it again")
        return stored

    async def abort(self) -> None:
        """Give the upload up, if the server can be reached."""
        if not self._name:
            return
        # Storage gives up by itself, later, what nobody goes on with.
        with suppress(DistconvError):
            await self._connection.once(
                self._access.stub.AbortUpload,
                storage.AbortUploadRequest(name=self._name),
                timeout_s=_ABORT_TIMEOUT_S,
                metadata=self._access.metadata,
            )

    async def _create(self) -> None:
        response = await self._connection.once(
            self._access.stub.CreateUpload,
            storage.CreateUploadRequest(
                object=self._access.object,
                size_bytes=self._source.size_bytes,
                file_name=self._called.file_name,
                labels=self._called.labels,
            ),
            metadata=self._access.metadata,
            address=self._access.address,
        )
        self._name = response.upload.name
        self._take(response.upload)

    async def _ask(self) -> None:
        response = await self._connection.once(
            self._access.stub.GetUpload,
            storage.GetUploadRequest(name=self._name),
            metadata=self._access.metadata,
            address=self._access.address,
        )
        self._take(response.upload)

    def _take(self, upload: pb.Upload) -> None:
        self._received = RangeSet(to_ranges(upload.received))
        self._uncertain = False
        self._report()

    def _missing(self) -> list[Range]:
        return ordered(self._received.gaps(0, self._source.size_bytes), self._first)

    async def _send_missing(self) -> None:
        if self._uncertain:
            await self._ask()
        missing = self._missing()
        if not missing:
            return
        self._uncertain = True
        try:
            await self._stream(missing)
        except DataLossError:
            self._damaged += 1
            if self._damaged > MAX_DAMAGED:
                raise
            return
        except DistconvError:
            # grpc.aio loses the server's status when a message was just being
            # sent. Next time one chunk goes alone, so that the status arrives.
            self._careful = True
            raise
        if self._missing():
            raise UnavailableError("the stream of the upload ended before everything was there")

    async def _stream(self, missing: Iterable[Range]) -> None:
        window, pacer = Window(_WINDOW_BYTES), Pacer()
        with self._access.translated():
            call = self._access.write_method(metadata=tuple(self._access.metadata))
            try:
                with unwrapped():
                    async with stall_guard("upload") as guard, asyncio.TaskGroup() as group:
                        group.create_task(self._send(call, missing, window, pacer, guard))
                        group.create_task(self._receive(call, window, pacer, guard))
            finally:
                call.cancel()

    async def _send(
        self,
        call: "WriteCall",
        missing: Iterable[Range],
        window: Window,
        pacer: Pacer,
        guard: StallGuard,
    ) -> None:
        if self._careful and await is_refused(call):
            return
        first = storage.WriteRequest(upload=self._name, report_written=True)
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):  # the receiver tells why
            await call.write(first.SerializeToString())
            async with aclosing(self._source.chunks(missing, lambda: pacer.chunk_bytes)) as ahead:
                async for piece in ahead:
                    await window.take(len(piece.data))
                    await pacer.acquire(len(piece.data))
                    await call.write(write_request(piece.offset, piece.data, piece.crc32c))
                    guard.moved()
                    if self._careful:
                        with suppress(TimeoutError):
                            await asyncio.wait_for(window.drained(), _FIRST_WORD_S)
                        self._careful = False
            await call.done_writing()

    async def _receive(
        self, call: "WriteCall", window: Window, pacer: Pacer, guard: StallGuard
    ) -> None:
        async for response in call:
            guard.moved()
            self._patience.progressed()
            self._access.accepted()
            pacer.written(response.written_bytes)
            for start, end in to_ranges(response.acknowledged):
                window.release(self._received.add(start, end))
            self._report()

    async def _complete(self) -> StoredObject:
        response = await self._connection.once(
            self._access.stub.CompleteUpload,
            storage.CompleteUploadRequest(
                name=self._name,
                size_bytes=self._source.size_bytes,
                sha256=await self._source.sha256(),
            ),
            timeout_s=_COMPLETE_TIMEOUT_S,
            metadata=self._access.metadata,
            address=self._access.address,
        )
        return to_stored(response.object)

    def _report(self) -> None:
        before, self._reported_bytes = self._reported_bytes, self._received.size_bytes
        if self._on_progress is not None and self._reported_bytes != before:
            self._on_progress(
                Transfer(
                    direction=Direction.UPLOAD,
                    done_bytes=self._reported_bytes,
                    total_bytes=self._source.size_bytes,
                )
            )
