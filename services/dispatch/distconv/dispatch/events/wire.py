"""Rows of the outbox and samples of progress → CloudEvents; CloudEvents ↔ the contract's."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.any_pb2 import Any as PackedAny
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
from distconv.v1 import engine_pb2, event_pb2, job_pb2

SOURCE = "/distconv/dispatch"
PACKAGE = "distconv.v1"
JSON = "application/json"

_JOB_STATES = {k.removeprefix("JOB_STATE_"): v for k, v in job_pb2.JobState.items()}
_ENGINE_STATES = {k.removeprefix("ENGINE_STATE_"): v for k, v in engine_pb2.EngineState.items()}
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
    kind = _KINDS.get(row.type)
    if kind is None:
        return None
    text = row.payload
    try:
        # Not all messages have all fields: a version number is of interest once, say.
        fields: dict[str, object] = {
            name: _READ.get(name, str)(text[name]) for name in kind.fields if name in text
        }
        if "error_reason" in text and kind.has_error:
            fields["error"] = _failure(text)
        fields["move"] = _engine_move(row) if kind.of_engine else _job_move(row)
        return kind.make(**fields)
    except (ValueError, KeyError) as error:
        raise InternalError(f"the outbox row {row.number} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class _Kind:
    """A message of the contract, and the fields that it has beside the move and the error."""

    make: type[Message]
    fields: tuple[str, ...]
    has_error: bool
    of_engine: bool


def _kinds() -> Iterator[tuple[str, _Kind]]:
    for name, descriptor in event_pb2.DESCRIPTOR.message_types_by_name.items():
        fields = [field.name for field in descriptor.fields]
        if "move" in fields:
            move = descriptor.fields_by_name["move"].message_type
            yield (
                name,
                _Kind(
                    make=GetMessageClass(descriptor),
                    fields=tuple(f for f in fields if f not in ("move", "error")),
                    has_error="error" in fields,
                    of_engine=move is event_pb2.EngineMove.DESCRIPTOR,
                ),
            )


_KINDS = dict(_kinds())

EVENT_NAMES = frozenset({*_KINDS, event_pb2.ProgressUpdated.DESCRIPTOR.name})


def _time(text: str) -> object:
    return timestamp(datetime.fromisoformat(text))


_READ: Mapping[str, Callable[[str], object]] = {
    "size_bytes": int,
    "priority": int,
    "retry_count": int,
    "slot_count": int,
    "retry_time": _time,
    "expire_time": _time,
}


def _job_move(row: OutboxRecord) -> event_pb2.JobMove:
    get = row.payload.get
    return event_pb2.JobMove(
        job=row.subject,
        from_state=_JOB_STATES[get("from_state", "UNSPECIFIED")],
        state=_JOB_STATES[get("state", "UNSPECIFIED")],
        event=get("event", ""),
        cause=get("cause", ""),
        engine=get("engine", ""),
        attempt=get("attempt", ""),
    )


def _engine_move(row: OutboxRecord) -> event_pb2.EngineMove:
    get = row.payload.get
    return event_pb2.EngineMove(
        engine=row.subject,
        display_name=get("display_name", ""),
        from_state=_ENGINE_STATES[get("from_state", "UNSPECIFIED")],
        state=_ENGINE_STATES[get("state", "UNSPECIFIED")],
        cause=get("cause", ""),
    )


def _failure(text: Mapping[str, str]) -> job_pb2.Failure:
    exit_code = text.get("error_exit_code", "")
    return job_pb2.Failure(
        reason=text["error_reason"],
        message=text.get("error_message", ""),
        retryable="error_retryable" in text,
        exit_code=int(exit_code) if exit_code else None,
    )


def _json(payload: Mapping[str, str]) -> bytes:
    return json.dumps(dict(payload), separators=(",", ":")).encode()
