"""Media access ↔ the contract's messages."""

from collections.abc import Mapping

from distconv.core.names import object_name
from distconv.dispatch.objects.access import MediaAccess
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
