"""StorageService: unpack, check the token, call, pack."""
# ruff: noqa: N802, ARG002  # the generated servicer's names and signatures

# grpc's classes are generic in their stubs only.
from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from distconv.core.descriptions import check_file_name, check_labels
from distconv.core.errors import (
    InvalidArgumentError,
    NotFoundError,
)
from distconv.rpc.auth import MediaTokenAuthenticator
from distconv.rpc.chunk_messages import serve_read
from distconv.rpc.convert.object import byte_ranges
from distconv.rpc.convert.profile import to_container
from distconv.rpc.convert.times import timestamp, to_timedelta
from distconv.rpc.server import Service
from distconv.rpc.tokens import MediaAction, MediaTokens
from distconv.storage import packing, streaming
from distconv.storage.access import allowed_place, allowed_upload, claims
from distconv.storage.app import StorageApp
from distconv.storage.intake import Intake
from distconv.storage.listing import Listing
from distconv.storage.names import shown
from distconv.storage.objects import Opened, missing
from distconv.storage.proving import range_digests
from distconv.storage.reading import Reading
from distconv.storage.records import Description, ObjectRecord, UploadRecord
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb
from distconv.v1.storage_service_pb2_grpc import (
    StorageServiceServicer,
    add_StorageServiceServicer_to_server,
)

if TYPE_CHECKING:
    import grpc.aio

    _Context = grpc.aio.ServicerContext[Any, Any]

_SHA256 = re.compile(r"[0-9a-f]{64}")


def storage_service(app: StorageApp, tokens: MediaTokens) -> Service:
    """Return the service for a server to serve."""
    servicer = StorageServicer(app)

    def register(server: grpc.aio.Server) -> None:
        add_StorageServiceServicer_to_server(servicer, server)
        serve_read(server, servicer.Read)

    return Service(
        name=pb.DESCRIPTOR.services_by_name["StorageService"].full_name,
        authenticator=MediaTokenAuthenticator(tokens),
        register=register,
    )


class StorageServicer(StorageServiceServicer):
    """Serve the contract's methods; every one of them asks the token first."""

    def __init__(self, app: StorageApp) -> None:
        self._uploads = app.uploads
        self._objects = app.objects
        self._provider = app.provider
        self._limits = app.limits
        self._reading = Reading(app.objects, app.uploads, limits=app.limits, clock=app.clock)
        self._listing = Listing(app.objects, app.uploads)
        self._collector = app.collector
        self._direct = app.direct
        self._pools = app.pools

    async def CreateUpload(
        self, request: pb.CreateUploadRequest, context: _Context
    ) -> pb.CreateUploadResponse:
        """Open an upload for the object that the token names."""
        place = allowed_place(request.object, MediaAction.WRITE, field="object")
        upload = await self._uploads.create(
            place,
            size_bytes=request.size_bytes,
            container=to_container(request.finish.container),
            description=Description(
                file_name=check_file_name(request.file_name, field="file_name")
                if request.file_name
                else "",
                labels=check_labels(request.labels, field="labels"),
            ),
            pool=self._pools.chosen(place.tenant, claims().pool),
        )
        await upload.flush()
        return pb.CreateUploadResponse(
            upload=packing.open_upload(upload), signs_segments=upload.staging.signs
        )

    async def Write(
        self, request_iterator: AsyncIterator[pb.WriteRequest], context: _Context
    ) -> AsyncIterator[pb.WriteResponse]:
        """Take chunks, acknowledge ranges."""
        first = await anext(request_iterator, None)
        if first is None:
            raise InvalidArgumentError("the stream is empty; name the upload first", field="upload")
        tenant, upload_id = allowed_upload(first.upload, field="upload")
        upload = await self._uploads.get(tenant, upload_id)
        upload.require_open()
        intake = Intake(
            upload,
            streaming.chunks(first, request_iterator),
            batch_bytes=self._limits.write_batch_bytes,
            report_written=first.report_written,
        )
        async with aclosing(intake.progress()) as steps:
            async for progress in steps:
                yield pb.WriteResponse(
                    acknowledged=byte_ranges(progress.durable), written_bytes=progress.written_bytes
                )

    async def SignSegment(
        self, request: pb.SignSegmentRequest, context: _Context
    ) -> pb.SignSegmentResponse:
        """Make a URL for a segment, where the provider has any."""
        signed, expire_time = await self._direct.segment(
            *allowed_upload(request.upload, field="upload"),
            request.range.offset,
            request.range.length,
            token_end=claims().expire_time,
        )
        return pb.SignSegmentResponse(
            url=signed.url, headers=signed.headers, expire_time=timestamp(expire_time)
        )

    async def ConfirmSegment(
        self, request: pb.ConfirmSegmentRequest, context: _Context
    ) -> pb.ConfirmSegmentResponse:
        """Take note of a segment."""
        await self._direct.confirm(
            *allowed_upload(request.upload, field="upload"),
            request.range.offset,
            request.range.length,
        )
        return pb.ConfirmSegmentResponse()

    async def GetUpload(
        self, request: pb.GetUploadRequest, context: _Context
    ) -> pb.GetUploadResponse:
        """Tell what has arrived."""
        tenant, upload_id = allowed_upload(request.name)
        done = await self._uploads.find_completed(tenant, upload_id)
        if done is not None:
            return pb.GetUploadResponse(upload=packing.completed_upload(done))
        upload = await self._uploads.get(tenant, upload_id)
        await upload.flush()  # all that has arrived can be told of once it is durable
        return pb.GetUploadResponse(upload=packing.open_upload(upload))

    async def CompleteUpload(
        self, request: pb.CompleteUploadRequest, context: _Context
    ) -> pb.CompleteUploadResponse:
        """Check, finish and commit."""
        tenant, upload_id = allowed_upload(request.name)
        if request.size_bytes < 0:
            raise InvalidArgumentError("a size is at least 0 bytes", field="size_bytes")
        _check_sha256(request.sha256)
        record = await self._uploads.complete(
            tenant, upload_id, size_bytes=request.size_bytes, sha256=request.sha256
        )
        return pb.CompleteUploadResponse(
            object=packing.committed_object(record), report=packing.finish_report(record)
        )

    async def AbortUpload(
        self, request: pb.AbortUploadRequest, context: _Context
    ) -> pb.AbortUploadResponse:
        """Give the upload up."""
        await self._uploads.abort(*allowed_upload(request.name))
        return pb.AbortUploadResponse()

    async def Read(  # type: ignore[override]  # encoded already, which serve_read sees to
        self, request_iterator: AsyncIterator[pb.ReadRequest], context: _Context
    ) -> AsyncIterator[bytes]:
        """Send the chunks of ranges."""
        first = await anext(request_iterator, None)
        if first is None:
            raise InvalidArgumentError("the stream is empty; name the object first", field="object")
        place = allowed_place(first.object, MediaAction.READ, field="object")
        found = await self._reading.find(place, follow=first.follow)
        requests = streaming.read_requests(first, request_iterator)
        async with aclosing(self._reading.responses(found, requests)) as responses:
            async for response in responses:
                yield response

    async def GetObject(
        self, request: pb.GetObjectRequest, context: _Context
    ) -> pb.GetObjectResponse:
        """Describe an object."""
        place = allowed_place(request.name, claims().action, field="name")
        record = await self._listing.describe(place)
        if record is None:
            raise missing(place)
        blocks = packing.block_sums(record) if request.with_blocks else None
        return pb.GetObjectResponse(object=_object(record), blocks=blocks)

    async def FindObject(
        self, request: pb.FindObjectRequest, context: _Context
    ) -> pb.FindObjectResponse:
        """Find an object by its content."""
        token = claims()
        token.require(MediaAction.LIST, "")
        self._uploads.check_size(request.size_bytes)
        contents = self._objects.contents
        if not request.sha256:
            known = await contents.is_size_known(token.tenant, request.size_bytes)
            return pb.FindObjectResponse(size_known=known)
        _check_sha256(request.sha256)
        record = await contents.find(token.tenant, request.size_bytes, request.sha256)
        if record is None:
            raise NotFoundError(
                f"no object has {request.size_bytes} bytes of SHA-256 {request.sha256}; upload it"
            )
        return pb.FindObjectResponse(size_known=True, object=packing.committed_object(record))

    async def ListObjects(
        self, request: pb.ListObjectsRequest, context: _Context
    ) -> pb.ListObjectsResponse:
        """List the tenant's objects."""
        token = claims()
        token.require(MediaAction.LIST, "")
        records, next_token = await self._listing.page(
            token.tenant,
            size=request.page_size,
            token=request.page_token,
            wanted=packing.wanted(request),
        )
        return pb.ListObjectsResponse(
            objects=[_object(record) for record in records], next_page_token=next_token
        )

    async def DeleteObject(
        self, request: pb.DeleteObjectRequest, context: _Context
    ) -> pb.DeleteObjectResponse:
        """Delete an object."""
        await self._uploads.delete_object(
            allowed_place(request.name, MediaAction.DELETE, field="name")
        )
        return pb.DeleteObjectResponse()

    async def ListPools(
        self, request: pb.ListPoolsRequest, context: _Context
    ) -> pb.ListPoolsResponse:
        """List the storage pools."""
        claims().require(MediaAction.LIST, "")
        return pb.ListPoolsResponse(pools=map(packing.pool, await self._pools.list()))

    async def CollectLeftovers(
        self, request: pb.CollectLeftoversRequest, context: _Context
    ) -> pb.CollectLeftoversResponse:
        """Collect what nobody can use any more."""
        token = claims()
        token.require(MediaAction.COLLECT, "")
        found = await self._collector.collect(token.tenant, dry_run=request.dry_run)
        return pb.CollectLeftoversResponse(collected=map(packing.collected, found))

    async def GetUrl(self, request: pb.GetUrlRequest, context: _Context) -> pb.GetUrlResponse:
        """Make a URL, where the provider has any."""
        place = allowed_place(request.name, MediaAction.READ, field="name")
        ttl = to_timedelta(request.ttl) if request.HasField("ttl") else timedelta(minutes=15)
        found = await self._direct.fetch(place, ttl, token_end=claims().expire_time)
        response = pb.GetUrlResponse(url=found.url, expire_time=timestamp(found.expire_time))
        if (blocks := found.record.blocks) is not None:
            response.block_size_bytes = blocks.block_bytes
            response.block_crc32c = blocks.packed
        return response

    async def LocateObject(
        self, request: pb.LocateObjectRequest, context: _Context
    ) -> pb.LocateObjectResponse:
        """Tell where an object lies as a file, and prove what it holds."""
        place = allowed_place(request.name, MediaAction.READ, field="name")
        found = await self._reading.find(place, follow=False)
        assert isinstance(found, Opened)  # noqa: S101  # an upload is not followed
        try:
            path = self._provider.file_path(place.data_key(found.record.version))
            ranges = [(r.offset, r.length) for r in request.ranges]
            digests = await range_digests(found.reader, ranges)
        finally:
            await found.reader.close()
        return pb.LocateObjectResponse(
            path=path, object=packing.committed_object(found.record), range_sha256=digests
        )


def _check_sha256(text: str) -> None:
    if not _SHA256.fullmatch(text):
        raise InvalidArgumentError(
            f"{shown(text)} is not a SHA-256; give 64 hexadecimal digits in lower case",
            field="sha256",
        )


def _object(record: ObjectRecord | UploadRecord) -> object_pb2.Object:
    if isinstance(record, ObjectRecord):
        return packing.committed_object(record)
    return packing.uploading_object(record)
