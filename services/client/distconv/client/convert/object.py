"""Stored files of the contract as values of the SDK."""

from distconv.client.convert.enums import by_name
from distconv.client.stored import CollectedObject, CollectReason, ObjectState, StoredObject
from distconv.core.descriptions import JOB_LABEL
from distconv.core.names import job_name
from distconv.rpc.convert.times import optional_time
from distconv.v1 import object_pb2 as pb


def to_stored(message: pb.Object) -> StoredObject:
    """Read a stored file."""
    job = message.labels.get(JOB_LABEL, "")
    return StoredObject(
        name=message.name,
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        state=by_name(pb.ObjectState.Name, message.state, ObjectState, "OBJECT_STATE_"),
        file_name=message.file_name,
        labels=dict(message.labels),
        create_time=optional_time(message, "create_time"),
        commit_time=optional_time(message, "commit_time"),
        pool=message.pool,
        job=job_name(job) if job else "",
    )


def to_collected(message: pb.CollectedObject) -> CollectedObject:
    """Read what was collected."""
    return CollectedObject(
        name=message.object,
        reason=by_name(pb.CollectReason.Name, message.reason, CollectReason, "COLLECT_REASON_"),
        size_bytes=message.size_bytes,
    )
