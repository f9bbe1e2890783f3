"""Event and dead letter messages → values."""

import json
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from distconv.client.event import DeadLetter, Event
from distconv.rpc.convert.times import to_datetime
from distconv.v1 import event_pb2 as pb


def to_event(message: pb.Event) -> Event:
    """Convert a message to an event."""
    return Event(
        id=message.id,
        source=message.source,
        type=message.type.rpartition(".")[2],
        subject=message.subject,
        time=to_datetime(message.time),
        tenant=message.tenant,
        sequence=message.sequence,
        data=_data(message),
    )


def to_dead_letter(message: pb.DeadLetter) -> DeadLetter:
    """Convert a message to a dead letter."""
    return DeadLetter(
        name=message.name,
        event=to_event(message.event),
        subscription=message.subscription,
        reason=message.reason,
        delivery_count=message.delivery_count,
        time=to_datetime(message.time),
    )


def _data(message: pb.Event) -> dict[str, Any]:
    """Return the fields of the data; nothing for what this version does not know."""
    if message.HasField("data"):
        name = message.type.rpartition(".")[2]
        known = pb.DESCRIPTOR.message_types_by_name.get(name)
        if known is None:
            return {}
        unpacked: Message = GetMessageClass(known)()
        try:
            unpacked.ParseFromString(message.data.value)
        except DecodeError:
            return {}
        fields: dict[str, Any] = MessageToDict(unpacked, preserving_proto_field_name=True)
        return fields
    if message.content_type == "application/json":
        try:
            raw = json.loads(message.raw)
        except ValueError:
            return {}
        return raw if isinstance(raw, dict) else {}
    return {}
