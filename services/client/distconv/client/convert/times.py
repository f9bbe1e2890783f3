"""Times that a message may leave out."""

from datetime import datetime

from google.protobuf.message import Message

from distconv.rpc.convert.times import to_datetime


def optional_time(message: Message, field: str) -> datetime | None:
    """Return the aware UTC time in `field`, None when it is not set."""
    return to_datetime(getattr(message, field)) if message.HasField(field) else None
