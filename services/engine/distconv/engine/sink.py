"""Write an output to storage: a bounded window of what is not yet acknowledged, resumable."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import google_crc32c
import grpc.aio

from distconv.core.errors import DistconvError, InternalError, UnavailableError
from distconv.core.media import MediaCensus, MediaInfo
from distconv.core.profile import Container
from distconv.engine.storage_link import Patience, StorageLink
from distconv.media.ports import Buffer
from distconv.rpc.chunk_messages import write_request
from distconv.rpc.convert import media, profile
from distconv.rpc.errors import translated
from distconv.rpc.limits import CHUNK_BYTES
from distconv.rpc.pacing import Pacer
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    WriteCall = grpc.aio.StreamStreamCall[bytes, pb.WriteResponse]

# Finishing copies the whole file; even a slow disk moves 10 MB/s, and this is 360 GB of it.
_COMPLETE_TIMEOUT_S = 10 * 3600.0
_ABORT_TIMEOUT_S = 2.0

_NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """An output that is whole at storage, with what was found in it there."""

    object_name: str
    size_bytes: int
    sha256: str
    media: MediaInfo
    census: MediaCensus


class _Chunk(NamedTuple):
    offset: int
    data: bytes
    crc32c: int


class StorageSink:
    """A ByteSink over StorageService.Write; `open` first, then `write`, then `complete` or `abort`.

    Holds at most `window_bytes` that storage has not acknowledged, and sends
    them again after a break.
    """

    def __init__(
        self, link: StorageLink, *, window_bytes: int, labels: Mapping[str, str] = _NO_LABELS
    ) -> None:
        """`labels` are those of the object that is written."""
        self._link = link
        self._labels = labels
        self._window_bytes = window_bytes
        self._upload = ""
        self._offset = 0
        self._digest = hashlib.sha256()
        self._held: deque[_Chunk] = deque()  # in order, not acknowledged
        self._held_bytes = 0
        self._next = 0  # index in _held of the next chunk to send on this stream
        self._moved = asyncio.Event()
        self._finished = False
        self._error: DistconvError | None = None
        self._pump: asyncio.Task[None] | None = None

    @property
    def written_bytes(self) -> int:
        """Return how much was written so far."""
        return self._offset

    async def open(self, container: Container) -> None:
        """Open the upload. Raises the tree's errors."""
        request = pb.CreateUploadRequest(
            object=self._link.grant.object_name,
            finish=object_pb2.FinishSpec(container=profile.container(container)),
            labels=self._labels,
        )
        answer = await self._link.unary(
            lambda: self._link.stub.CreateUpload(request, metadata=self._link.metadata)
        )
        self._upload = answer.upload.name
        self._pump = asyncio.create_task(self._run(), name="storage write")

    async def write(self, data: Buffer) -> None:
        """Take `data`, waiting while the window is full. Raises the tree's errors."""
        view = memoryview(data)
        for start in range(0, len(view), CHUNK_BYTES):
            await self._hold(bytes(view[start : start + CHUNK_BYTES]))

    async def _hold(self, piece: bytes) -> None:
        while self._held and self._held_bytes + len(piece) > self._window_bytes:
            await self._wait_moved()
        self._raise_error()
        self._digest.update(piece)
        self._held.append(_Chunk(self._offset, piece, google_crc32c.value(piece)))
        self._offset += len(piece)
        self._held_bytes += len(piece)
        self._moved.set()

    async def complete(self) -> Committed:
        """Send the rest, have it finished and committed. Raises the tree's errors."""
        self._finished = True
        self._moved.set()
        if self._pump is not None:
            await self._pump
        self._raise_error()
        request = pb.CompleteUploadRequest(
            name=self._upload, size_bytes=self._offset, sha256=self._digest.hexdigest()
        )
        answer = await self._link.unary(
            lambda: self._link.stub.CompleteUpload(request, metadata=self._link.metadata),
            timeout_s=_COMPLETE_TIMEOUT_S,
        )
        if not answer.HasField("report"):
            raise InternalError("storage committed the output without a report of it")
        return Committed(
            object_name=answer.object.name,
            size_bytes=answer.object.size_bytes,
            sha256=answer.object.sha256,
            media=media.to_media_info(answer.report.media),
            census=media.to_media_census(answer.report.census),
        )

    async def abort(self) -> None:
        """Give the upload up; what cannot be told to storage expires there."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        if self._upload:
            try:
                with translated(self._link.address):
                    await self._link.stub.AbortUpload(
                        pb.AbortUploadRequest(name=self._upload),
                        metadata=self._link.metadata,
                        timeout=_ABORT_TIMEOUT_S,
                    )
            except DistconvError:
                pass

    async def _run(self) -> None:
        patience = Patience(self._link)
        try:
            while not (self._finished and not self._held):
                try:
                    await self._forget_received()
                    await self._stream(patience)
                except DistconvError as error:
                    await patience.lose(error)
        except DistconvError as error:
            self._error = error
        finally:
            self._moved.set()

    async def _forget_received(self) -> None:
        if not self._held:
            return
        with translated(self._link.address):
            answer = await self._link.stub.GetUpload(
                pb.GetUploadRequest(name=self._upload), metadata=self._link.metadata, timeout=20
            )
        self._acknowledge(answer.upload.received)
        self._next = 0

    async def _stream(self, patience: Patience) -> None:
        pacer = Pacer()
        call = self._link.write_method(metadata=self._link.metadata)
        sending = asyncio.create_task(self._send(call, pacer))
        try:
            with translated(self._link.address):
                while isinstance(response := await call.read(), pb.WriteResponse):
                    patience.reset()
                    pacer.written(response.written_bytes)
                    self._acknowledge(response.acknowledged)
            with translated(self._link.address):
                await sending
        except asyncio.InvalidStateError as error:
            raise UnavailableError(f"storage at {self._link.address} ended the stream") from error
        finally:
            sending.cancel()
            call.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if self._held or not self._finished:
            raise UnavailableError(f"storage at {self._link.address} ended the stream early")

    async def _send(self, call: "WriteCall", pacer: Pacer) -> None:
        first = pb.WriteRequest(upload=self._upload, report_written=True)
        await call.write(first.SerializeToString())
        while True:
            while self._next < len(self._held):
                held = self._held[self._next]
                await pacer.acquire(len(held.data))
                self._next += 1
                await call.write(write_request(held.offset, held.data, held.crc32c))
            if self._finished:
                await call.done_writing()
                return
            await self._wait_moved()

    def _acknowledge(self, ranges: Sequence[object_pb2.ByteRange]) -> None:
        if not ranges:
            return
        kept: deque[_Chunk] = deque()
        sent = 0
        for position, held in enumerate(self._held):
            end = held.offset + len(held.data)
            if any(r.offset <= held.offset and end <= r.offset + r.length for r in ranges):
                self._held_bytes -= len(held.data)
            else:
                kept.append(held)
                sent += position < self._next
        self._held, self._next = kept, sent
        self._moved.set()

    async def _wait_moved(self) -> None:
        self._moved.clear()
        await self._moved.wait()
        self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error
