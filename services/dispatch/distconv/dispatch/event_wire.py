"""Rows of the outbox and samples of progress → CloudEvents; CloudEvents ↔ the contract's."""

import json
from collections.abc import Mapping
from datetime import datetime

from google.protobuf.any_pb2 import Any as PackedAny
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from distconv.core.errors import InternalError
from distconv.core.names import job_name
from distconv.core.progress import JobProgress
from distconv.dispatch.store.records import OutboxRecord
from distconv.events.event import PROTOBUF, CloudEvent
from distconv.events.port import DeadLetter
from distconv.rpc.convert.job import progress
from distconv.rpc.convert.times import timestamp
from distconv.v1 import event_pb2

SOURCE = "/distconv/dispatch"
PACKAGE = "distconv.v1"
JSON = "application/json"

_JOB_MOVE = ("from_state", "state", "event", "cause", "engine", "attempt")
_ENGINE_MOVE = ("from_state", "state", "cause", "display_name")
_ERROR = ("reason", "message", "retryable", "exit_code")
_TYPE_URL = "type.googleapis.com/"


def event_of(row: OutboxRecord) -> CloudEvent:
    """Return the event of an outbox row; one that has no message goes as JSON."""
    message = _message(row)
    return CloudEvent(
        id=row.id or f"outbox-{row.number}",
        source=SOURCE,
        type=f"{PACKAGE}.{row.type}",
        subject=row.subject,
        time=row.time,
        tenant=row.tenant,
        sequence=row.sequence,
        data=_json(row.payload) if message is None else message.SerializeToString(),
        content_type=JSON if message is None else PROTOBUF,
    )


def raw_event_of(row: OutboxRecord) -> CloudEvent:
    """Return an event for a row that event_of cannot make one of, so that it is not lost."""
    return CloudEvent(
        id=f"outbox-{row.number}",
        source=SOURCE,
        type=f"{PACKAGE}.Unreadable",
        subject="outbox/unreadable",
        time=row.time,
        tenant="unreadable",
        sequence=0,
        data=_json({**row.payload, "type": row.type, "subject": row.subject, "id": row.id}),
        content_type=JSON,
    )


def progress_event(
    job_id: str, tenant: str, sample: JobProgress, *, event_id: str, time: datetime
) -> CloudEvent:
    """Return the event of a sample of progress."""
    message = event_pb2.ProgressUpdated(job=job_name(job_id), progress=progress(sample))
    return CloudEvent(
        id=event_id,
        source=SOURCE,
        type=f"{PACKAGE}.ProgressUpdated",
        subject=job_name(job_id),
        time=time,
        tenant=tenant,
        sequence=0,
        data=message.SerializeToString(),
    )


def event_message(event: CloudEvent) -> event_pb2.Event:
    """Return the contract's event."""
    message = event_pb2.Event(
        id=event.id,
        source=event.source,
        type=event.type,
        subject=event.subject,
        time=timestamp(event.time),
        tenant=event.tenant,
        sequence=event.sequence,
    )
    known = event.name in event_pb2.DESCRIPTOR.message_types_by_name
    if event.content_type == PROTOBUF and known:
        message.data.CopyFrom(PackedAny(type_url=_TYPE_URL + event.type, value=event.data))
    else:
        message.raw, message.content_type = event.data, event.content_type
    return message


def dead_letter_message(letter: DeadLetter) -> event_pb2.DeadLetter:
    """Return the contract's dead letter."""
    return event_pb2.DeadLetter(
        name=f"deadLetters/{letter.id}",
        event=event_message(letter.event),
        subscription=letter.subscription,
        reason=letter.reason,
        delivery_count=letter.delivery_count,
        time=timestamp(letter.time),
    )


def _message(row: OutboxRecord) -> Message | None:
    """Return the message of a row; None for a type that the contract does not have."""
    descriptor = event_pb2.DESCRIPTOR.message_types_by_name.get(row.type)
    if descriptor is None:
        return None
    text = dict(row.payload)
    of_engine = row.subject.startswith("engines/")
    states = "ENGINE_STATE" if of_engine else "JOB_STATE"
    names = _ENGINE_MOVE if of_engine else _JOB_MOVE
    move = {name: text.pop(name) for name in names if name in text}
    for name in move.keys() & {"state", "from_state"}:
        move[name] = f"{states}_{move[name]}"
    move["engine" if of_engine else "job"] = row.subject
    fields: dict[str, object] = {**text, "move": move}
    if error := {name: text[f"error_{name}"] for name in _ERROR if f"error_{name}" in text}:
        fields["error"] = {**error, "retryable": "retryable" in error}
    message = GetMessageClass(descriptor)()
    try:
        # Not all messages have all fields: a version number is of interest once, say.
        return ParseDict(fields, message, ignore_unknown_fields=True)
    except ParseError as error_:
        raise InternalError(f"the outbox row {row.number} cannot be read: {error_}") from error_


def _json(payload: Mapping[str, str]) -> bytes:
    return json.dumps(dict(payload), separators=(",", ":")).encode()
