"""Records ↔ the contract's messages."""

from distconv.core.names import object_name
from distconv.rpc.convert.media import media_census, media_info
from distconv.rpc.convert.object import byte_ranges
from distconv.rpc.convert.times import optional_time, timestamp
from distconv.storage.collector import Collected, CollectReason
from distconv.storage.listing import Wanted
from distconv.storage.names import UploadId
from distconv.storage.pools import Pool
from distconv.storage.records import ObjectRecord, UploadRecord
from distconv.storage.upload import Upload
from distconv.v1 import object_pb2 as pb
from distconv.v1 import storage_service_pb2 as service_pb


def committed_object(record: ObjectRecord) -> pb.Object:
    """Describe a committed object."""
    return pb.Object(
        name=object_name(record.object_id),
        state=pb.OBJECT_STATE_COMMITTED,
        size_bytes=record.size_bytes,
        sha256=record.sha256,
        create_time=timestamp(record.create_time),
        commit_time=timestamp(record.commit_time),
        tenant=record.tenant,
        file_name=record.description.file_name,
        labels=record.description.labels,
        pool=record.pool,
    )


def uploading_object(record: UploadRecord) -> pb.Object:
    """Describe an object that is being uploaded."""
    return pb.Object(
        name=object_name(record.object_id),
        state=pb.OBJECT_STATE_UPLOADING,
        size_bytes=record.size_bytes,
        create_time=timestamp(record.create_time),
        tenant=record.tenant,
        file_name=record.description.file_name,
        labels=record.description.labels,
        pool=record.pool,
    )


def block_sums(record: ObjectRecord | UploadRecord) -> pb.BlockSums | None:
    """Return the checksums of an object's blocks; None when there are none."""
    if not isinstance(record, ObjectRecord) or record.blocks is None:
        return None
    return pb.BlockSums(block_size_bytes=record.blocks.block_bytes, crc32c=record.blocks.packed)


def finish_report(record: ObjectRecord) -> pb.FinishReport | None:
    """Describe what finishing found; None when the object was not finished."""
    if record.finished is None:
        return None
    return pb.FinishReport(
        media=media_info(record.finished.media),
        census=media_census(record.finished.census),
        received_sha256=record.received_sha256,
        received_size_bytes=record.received_size_bytes,
    )


def open_upload(upload: Upload) -> pb.Upload:
    """Describe an upload that is open or being completed."""
    return pb.Upload(
        name=upload.id.name,
        object=object_name(upload.record.object_id),
        state=pb.UPLOAD_STATE_COMPLETING if upload.completing else pb.UPLOAD_STATE_OPEN,
        size_bytes=upload.record.size_bytes,
        received=byte_ranges(upload.durable),
        create_time=timestamp(upload.record.create_time),
        expire_time=timestamp(upload.expire_time),
    )


def completed_upload(record: ObjectRecord) -> pb.Upload:
    """Describe an upload by the object that it became."""
    return pb.Upload(
        name=UploadId(object_id=record.object_id, nonce=record.nonce).name,
        object=object_name(record.object_id),
        state=pb.UPLOAD_STATE_COMPLETED,
        size_bytes=record.received_size_bytes,
        received=byte_ranges([(0, record.received_size_bytes)]),
        create_time=timestamp(record.create_time),
    )


def wanted(request: service_pb.ListObjectsRequest) -> Wanted:
    """Read which objects are to be listed. Raises InvalidArgumentError."""
    return Wanted(
        id_prefix=request.id_prefix,
        file_name_prefix=request.file_name_prefix,
        labels=dict(request.labels),
        from_time=optional_time(request, "from_time"),
        before_time=optional_time(request, "before_time"),
    )


_REASONS = {
    CollectReason.ABANDONED_UPLOAD: pb.COLLECT_REASON_ABANDONED_UPLOAD,
    CollectReason.LEFTOVER: pb.COLLECT_REASON_LEFTOVER,
}


def collected(value: Collected) -> pb.CollectedObject:
    """Describe what was collected."""
    return pb.CollectedObject(
        object=object_name(value.place.object_id),
        reason=_REASONS[value.reason],
        size_bytes=value.size_bytes,
    )


def pool(value: Pool) -> service_pb.StoragePool:
    """Describe a pool."""
    return service_pb.StoragePool(
        name=value.name,
        capacity_bytes=value.capacity_bytes,
        used_bytes=value.used_bytes,
        free_bytes=value.free_bytes,
        away_reason=value.away_reason,
    )
