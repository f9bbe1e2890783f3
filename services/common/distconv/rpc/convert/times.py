"""datetime and timedelta ↔ Timestamp and Duration."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from distconv.core.errors import InvalidArgumentError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(value: datetime | None) -> Timestamp | None:
    """Convert an aware time; None stays None, which leaves a message field unset."""
    if value is None:
        return None
    # Timestamp.FromDatetime takes five times as long, and a job has a handful of times.
    since = value - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def to_datetime(message: Timestamp, field: str = "time") -> datetime:
    """Convert a set timestamp to an aware UTC time.

    Raises InvalidArgumentError naming `field` when it is outside the years 1 to 9999.
    """
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidArgumentError(
            f"{field} is not acceptable: {message.seconds} s after 1970 is in none of the years "
            "1 to 9999",
            field=field,
        ) from None


def optional_time(message: Message, field: str) -> datetime | None:
    """Return the aware UTC time in `field` of `message`, None when it is not set.

    Raises InvalidArgumentError, as `to_datetime`.
    """
    if not message.HasField(field):
        return None
    return to_datetime(getattr(message, field), _path(message, field))


def duration(value: timedelta | None) -> Duration | None:
    """Convert a span; None stays None."""
    if value is None:
        return None
    message = Duration()
    message.FromTimedelta(value)
    return message


def to_timedelta(message: Duration, field: str = "duration") -> timedelta:
    """Convert a set duration.

    Raises InvalidArgumentError naming `field` when it is longer than a duration may be.
    """
    try:
        return message.ToTimedelta()
    except (ValueError, OverflowError):
        raise InvalidArgumentError(
            f"{field} is not acceptable: {message.seconds} s is more than 10,000 years", field=field
        ) from None


def optional_span(message: Message, field: str) -> timedelta | None:
    """Return the span in `field` of `message`, None when it is not set.

    Raises InvalidArgumentError, as `to_timedelta`.
    """
    if not message.HasField(field):
        return None
    return to_timedelta(getattr(message, field), _path(message, field))


def _path(message: Message, field: str) -> str:
    return f"{message.DESCRIPTOR.name.lower()}.{field}"
