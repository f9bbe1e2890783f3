"""datetime and timedelta ↔ Timestamp and Duration."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(value: datetime | None) -> Timestamp | None:
    """Convert an aware time; None stays None, which leaves a message field unset."""
    if value is None:
        return None
    # Timestamp.FromDatetime takes five times as long, and a job has a handful of times.
    since = value - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def to_datetime(message: Timestamp) -> datetime:
    """Convert a set timestamp to an aware UTC time."""
    return message.ToDatetime(tzinfo=UTC)


def optional_time(message: Message, field: str) -> datetime | None:
    """Return the aware UTC time in `field` of `message`, None when it is not set."""
    return to_datetime(getattr(message, field)) if message.HasField(field) else None


def duration(value: timedelta | None) -> Duration | None:
    """Convert a span; None stays None."""
    if value is None:
        return None
    message = Duration()
    message.FromTimedelta(value)
    return message


def to_timedelta(message: Duration) -> timedelta:
    """Convert a set duration."""
    return message.ToTimedelta()


def optional_span(message: Message, field: str) -> timedelta | None:
    """Return the span in `field` of `message`, None when it is not set."""
    return to_timedelta(getattr(message, field)) if message.HasField(field) else None
