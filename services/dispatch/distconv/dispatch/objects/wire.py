"""Media access, and what was collected, ↔ the contract's messages."""

from collections.abc import Mapping

from distconv.core.names import bare, object_name
from distconv.dispatch.objects.access import MediaAccess
from distconv.dispatch.objects.port import Collected, CollectReason
from distconv.rpc.convert.times import timestamp
from distconv.rpc.tokens import MediaAction
from distconv.v1 import object_pb2

ACTIONS: Mapping[MediaAction, object_pb2.MediaAction.ValueType] = {
    MediaAction.READ: object_pb2.MEDIA_ACTION_READ,
    MediaAction.WRITE: object_pb2.MEDIA_ACTION_WRITE,
    MediaAction.DELETE: object_pb2.MEDIA_ACTION_DELETE,
    MediaAction.LIST: object_pb2.MEDIA_ACTION_LIST,
}
ACTIONS_BACK = {number: action for action, number in ACTIONS.items()}


def media_access(value: MediaAccess) -> object_pb2.MediaAccess:
    """Convert a media access to its message."""
    return object_pb2.MediaAccess(
        storage_addresses=value.storage_addresses,
        token=value.token,
        object=object_name(value.object_id),
        action=ACTIONS[value.action],
        expire_time=timestamp(value.expire_time),
    )


def collected_object(value: Collected) -> object_pb2.CollectedObject:
    """Convert what was collected to its message."""
    return object_pb2.CollectedObject(
        object=object_name(value.object_id),
        reason=object_pb2.CollectReason.Value(f"COLLECT_REASON_{value.reason}"),
        size_bytes=value.size_bytes,
    )


def to_collected(message: object_pb2.CollectedObject) -> Collected:
    """Read what storage collected."""
    name = object_pb2.CollectReason.Name(message.reason)
    return Collected(
        object_id=bare(message.object, "objects"),
        reason=CollectReason(name.removeprefix("COLLECT_REASON_")),
        size_bytes=message.size_bytes,
    )
