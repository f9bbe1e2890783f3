"""The envelope of an event: CloudEvents 1.0, binary mode.

The attributes travel as headers (`ce-id`, `ce-source`, …), the data as the body.
`tenant` and `sequence` are extension attributes; `sequence` is written as 19
digits, so that it also sorts as text, as the Sequence extension asks.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from distconv.core.errors import InvalidArgumentError

SPEC_VERSION = "1.0"
PROTOBUF = "application/protobuf"

_SEQUENCE_DIGITS = 19  # an int64
_MAX_SEQUENCE = (1 << 63) - 1
_MAX_TEXT = 256
# CloudEvents 1.0.2, HTTP and NATS bindings: printable ASCII goes as it is, but for these.
_SAFE = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '"%')

_PLAIN = re.compile(r"[!#$&-~]*\Z")
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*\Z")
_SUBJECT = re.compile(r"[a-z]+/[^/\s]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEvent:
    """Something that happened, and to what.

    `id` with `source` is unique: whoever sees a pair again sees a duplicate.
    `type` is the full name of the protobuf message in `data`. `subject` is a
    resource name, `collection/id`. `sequence` counts the changes of the
    subject; of two events of one subject the later has the greater one, and
    two may share one. Raises InvalidArgumentError when it is not well formed.
    """

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    tenant: str
    sequence: int
    data: bytes
    content_type: str = PROTOBUF

    def __post_init__(self) -> None:
        for field in ("id", "source", "tenant", "content_type"):
            text: str = getattr(self, field)
            if not text or len(text) > _MAX_TEXT or not text.isprintable():
                raise _wrong(field, f"1 to {_MAX_TEXT} printable characters", text)
        if len(self.type) > _MAX_TEXT or not _TYPE.match(self.type):
            raise _wrong("type", "dotted names such as distconv.v1.JobCreated", self.type)
        if len(self.subject) > _MAX_TEXT or not _SUBJECT.match(self.subject):
            raise _wrong("subject", "a resource name such as jobs/ID", self.subject)
        if self.time.tzinfo is None:
            raise _wrong("time", "aware", self.time.isoformat())
        if not 0 <= self.sequence <= _MAX_SEQUENCE:
            raise _wrong("sequence", f"0..{_MAX_SEQUENCE}", str(self.sequence))

    @property
    def name(self) -> str:
        """Return the last word of the type: `JobCreated` of `distconv.v1.JobCreated`."""
        return self.type.rpartition(".")[2]


def to_headers(event: CloudEvent) -> dict[str, str]:
    """Return the headers of an event in binary mode."""
    attributes = {
        "specversion": SPEC_VERSION,
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": event.time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "tenant": event.tenant,
        "sequence": f"{event.sequence:0{_SEQUENCE_DIGITS}d}",
    }
    headers = {f"ce-{name}": encode_header(value) for name, value in attributes.items()}
    return headers | {"content-type": event.content_type}


def from_headers(headers: Mapping[str, str], data: bytes) -> CloudEvent:
    """Return the event with these headers and this data; names may be in either case.

    Raises InvalidArgumentError when it is not a CloudEvent of version 1 with our extensions.
    """
    lower = {name.lower(): value for name, value in headers.items()}

    def attribute(name: str) -> str:
        value = lower.get(f"ce-{name}")
        if value is None:
            raise InvalidArgumentError(
                f"a message lacks the header ce-{name}; is it a CloudEvent in binary mode?",
                field=name,
            )
        return decode_header(value)

    version = attribute("specversion")
    if not version.startswith("1."):
        raise _wrong("specversion", SPEC_VERSION, version)
    try:
        time = datetime.fromisoformat(attribute("time"))
        sequence = int(attribute("sequence"))
    except ValueError as error:
        raise InvalidArgumentError(
            f"an event's ce-time or ce-sequence cannot be read: {error}", field="time"
        ) from error
    return CloudEvent(
        id=attribute("id"),
        source=attribute("source"),
        type=attribute("type"),
        subject=attribute("subject"),
        time=time,
        tenant=attribute("tenant"),
        sequence=sequence,
        data=data,
        content_type=lower.get("content-type", PROTOBUF),
    )


def encode_header(text: str) -> str:
    """Percent-encode what a header cannot carry."""
    return text if _PLAIN.match(text) else quote(text, safe=_SAFE)


def decode_header(text: str) -> str:
    """Undo encode_header."""
    return unquote(text) if "%" in text else text


def _wrong(field: str, must: str, value: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"the {field} of an event must be {must}; it is '{value[:80]}'", field=field
    )
