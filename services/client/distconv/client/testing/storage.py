"""The fake's StorageService."""
# ruff: noqa: D102, N802  # the contract names and describes these methods

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc.aio

from distconv.client.testing.state import FakeState, FakeUpload, now
from distconv.core.errors import (
    DataLossError,
    DiskFullError,
    FailedPreconditionError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from distconv.core.ids import new_id
from distconv.core.names import object_name
from distconv.rpc.convert.object import byte_ranges, chunk, intact_data
from distconv.rpc.convert.times import timestamp
from distconv.rpc.limits import CHUNK_BYTES
from distconv.v1 import object_pb2, storage_service_pb2_grpc
from distconv.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]


class FakeStorage(storage_service_pb2_grpc.StorageServiceServicer):
    """Serve the data plane from a FakeState."""

    def __init__(self, state: FakeState) -> None:
        self._state = state

    def _guard(self, context: Context) -> None:
        if self._state.faults.refuse_tokens:
            self._state.faults.refuse_tokens -= 1
            raise UnauthenticatedError("the media token has expired; ask dispatch for another")
        metadata = dict(context.invocation_metadata() or ())
        if not str(metadata.get("authorization", "")).startswith("Bearer objects/"):
            raise UnauthenticatedError("no media token")

    async def CreateUpload(
        self, request: pb.CreateUploadRequest, context: Context
    ) -> pb.CreateUploadResponse:
        self._guard(context)
        for upload in self._state.uploads.values():
            if upload.object == request.object:
                return pb.CreateUploadResponse(upload=upload.message())
        upload = FakeUpload(
            name=f"uploads/{new_id(now())}",
            object=request.object,
            data=bytearray(request.size_bytes),
        )
        self._state.uploads[upload.name] = upload
        self._state.called[upload.object] = object_pb2.Object(
            file_name=request.file_name, labels=request.labels, create_time=timestamp(now())
        )
        return pb.CreateUploadResponse(upload=upload.message())

    async def Write(
        self, request_iterator: AsyncIterator[pb.WriteRequest], context: Context
    ) -> AsyncIterator[pb.WriteResponse]:
        self._guard(context)
        cut = self._state.faults.next(self._state.faults.cut_writes)
        upload: FakeUpload | None = None
        async for request in request_iterator:
            upload = upload or self._upload(request.upload)
            if not request.HasField("chunk"):
                continue
            start, data = request.chunk.offset, intact_data(request.chunk)
            if data is None:
                raise DataLossError("a chunk does not match its CRC32C")
            if cut is not None and cut < len(data):
                raise UnavailableError("cut")
            cut = None if cut is None else cut - len(data)
            end = start + len(data)
            room = self._state.faults.full_after
            if room is not None and end > room:
                raise DiskFullError("the storage's disk is full")
            upload.data[start:end] = data
            upload.received.add(start, end)
            upload.sent_bytes += len(data)
            upload.longest_chunk_bytes = max(upload.longest_chunk_bytes, len(data))
            yield pb.WriteResponse(
                acknowledged=byte_ranges([(start, end)]), written_bytes=len(data)
            )

    async def GetUpload(
        self, request: pb.GetUploadRequest, context: Context
    ) -> pb.GetUploadResponse:
        self._guard(context)
        return pb.GetUploadResponse(upload=self._upload(request.name).message())

    async def CompleteUpload(
        self, request: pb.CompleteUploadRequest, context: Context
    ) -> pb.CompleteUploadResponse:
        self._guard(context)
        upload = self._upload(request.name)
        if not upload.received.covers(0, request.size_bytes):
            raise FailedPreconditionError("bytes are missing")
        if hashlib.sha256(upload.data).hexdigest() != request.sha256:
            raise DataLossError("the digest does not match")
        self._state.objects[upload.object] = bytes(upload.data)
        await self._state.uploaded()
        return pb.CompleteUploadResponse(object=self._object(upload.object))

    async def AbortUpload(
        self, request: pb.AbortUploadRequest, context: Context
    ) -> pb.AbortUploadResponse:
        self._guard(context)
        self._upload(request.name).aborted = True
        await self._state.uploaded()
        return pb.AbortUploadResponse()

    async def Read(
        self, request_iterator: AsyncIterator[pb.ReadRequest], context: Context
    ) -> AsyncIterator[pb.ReadResponse]:
        self._guard(context)
        cut = self._state.faults.next(self._state.faults.cut_reads)
        name = ""
        async for request in request_iterator:
            name = name or request.object
            self._state.named_chunks.append(request.chunk_bytes)
            if not request.HasField("range"):  # credit: what it sends here is little
                continue
            described = self._object(name)
            data = self._state.objects[name][: self._state.faults.stored_bytes]
            end = request.range.offset + request.range.length if request.range.length else len(data)
            yield pb.ReadResponse(object=described, range_done=request.range.offset >= end)
            for start in range(request.range.offset, end, CHUNK_BYTES):
                part = data[start : min(start + CHUNK_BYTES, end)]
                if cut is not None and cut < len(part):
                    raise UnavailableError("cut")
                cut = None if cut is None else cut - len(part)
                yield pb.ReadResponse(
                    chunk=self._chunk(start, part), range_done=start + len(part) == end
                )

    async def GetObject(
        self, request: pb.GetObjectRequest, context: Context
    ) -> pb.GetObjectResponse:
        self._guard(context)
        return pb.GetObjectResponse(object=self._object(request.name))

    async def FindObject(
        self, request: pb.FindObjectRequest, context: Context
    ) -> pb.FindObjectResponse:
        self._guard(context)
        stored = map(self._object, sorted(self._state.objects, reverse=True))
        alike = [one for one in stored if one.size_bytes == request.size_bytes]
        if not request.sha256:
            return pb.FindObjectResponse(size_known=bool(alike))
        for one in alike:
            if one.sha256 == request.sha256:
                return pb.FindObjectResponse(size_known=True, object=one)
        raise NotFoundError("no object has that content")

    async def ListObjects(
        self, request: pb.ListObjectsRequest, context: Context
    ) -> pb.ListObjectsResponse:
        self._guard(context)
        begin = object_name(request.id_prefix) or "objects/"
        names = sorted(filter(lambda name: name.startswith(begin), self._state.objects))
        found = [
            one
            for one in map(self._object, reversed(names))
            if one.file_name.startswith(request.file_name_prefix)
            and request.labels.items() <= one.labels.items()
            and _is_in_time(one, request)
        ]
        start = int(request.page_token or "0")
        end = start + (request.page_size or 100)
        more = str(end) if end < len(found) else ""
        return pb.ListObjectsResponse(objects=found[start:end], next_page_token=more)

    async def DeleteObject(
        self, request: pb.DeleteObjectRequest, context: Context
    ) -> pb.DeleteObjectResponse:
        self._guard(context)
        self._state.objects.pop(request.name, None)
        return pb.DeleteObjectResponse()

    def _chunk(self, offset: int, data: bytes) -> object_pb2.Chunk:
        message = chunk(offset, data)
        if self._state.faults.damage:
            self._state.faults.damage -= 1
            message.data = bytes([data[0] ^ 1]) + data[1:]
        return message

    def _object(self, name: str) -> object_pb2.Object:
        data = self._state.objects.get(name)
        if data is None:
            raise NotFoundError(f"no object is named '{name}'")
        found = object_pb2.Object(
            name=name,
            state=object_pb2.OBJECT_STATE_COMMITTED,
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )
        found.MergeFrom(self._state.called.get(name, object_pb2.Object()))
        return found

    def _upload(self, name: str) -> FakeUpload:
        upload = self._state.uploads.get(name)
        if upload is None or upload.aborted:
            raise NotFoundError(f"no upload is named '{name}'")
        return upload


def _is_in_time(one: object_pb2.Object, request: pb.ListObjectsRequest) -> bool:
    made = one.create_time.ToNanoseconds()
    if request.HasField("from_time") and made < request.from_time.ToNanoseconds():
        return False
    return not request.HasField("before_time") or made < request.before_time.ToNanoseconds()
