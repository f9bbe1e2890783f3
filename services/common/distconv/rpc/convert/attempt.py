"""AttemptPhase and Outcome ↔ their messages."""

from datetime import timedelta
from typing import assert_never

from distconv.core.attempt import (
    AttemptPhase,
    Cancelled,
    Outcome,
    Probed,
    Returned,
    Transcoded,
)
from distconv.core.errors import InvalidArgumentError
from distconv.core.failure import Failure
from distconv.core.names import object_name, parse_id
from distconv.rpc.convert.job import failure, note, to_failure, to_note
from distconv.rpc.convert.media import media_census, media_info, to_media_census, to_media_info
from distconv.rpc.convert.plain import printable
from distconv.rpc.convert.times import duration, optional_span
from distconv.v1 import engine_service_pb2 as pb

_PHASES = {
    AttemptPhase.STARTING: pb.ATTEMPT_PHASE_STARTING,
    AttemptPhase.ENCODING: pb.ATTEMPT_PHASE_ENCODING,
    AttemptPhase.FINISHING: pb.ATTEMPT_PHASE_FINISHING,
    AttemptPhase.ENDED: pb.ATTEMPT_PHASE_ENDED,
}
_PHASES_BACK = {number: phase for phase, number in _PHASES.items()}
_MAX_REASON_CHARS = 1000


def phase(value: AttemptPhase) -> pb.AttemptPhase.ValueType:
    """Convert a phase to its number."""
    return _PHASES[value]


def to_phase(number: pb.AttemptPhase.ValueType) -> AttemptPhase:
    """Convert a number to a phase; one that this version does not know is STARTING."""
    return _PHASES_BACK.get(number, AttemptPhase.STARTING)


def put_outcome(message: pb.AttemptResult, value: Outcome) -> None:
    """Put into `message` how its attempt ended."""
    match value:
        case Probed(media=media):
            message.probe.media.CopyFrom(media_info(media))
        case Transcoded():
            message.transcode.CopyFrom(_transcoded(value))
        case Failure():
            message.failure.CopyFrom(failure(value))
        case Returned(reason=reason):
            message.returned.reason = reason
        case Cancelled():
            message.cancelled.SetInParent()
        case unknown:
            assert_never(unknown)


def to_outcome(message: pb.AttemptResult) -> Outcome:
    """Read how an attempt ended. Raises InvalidArgumentError."""
    match message.WhichOneof("outcome"):
        case "probe":
            return Probed(media=to_media_info(message.probe.media))
        case "transcode":
            return _to_transcoded(message.transcode)
        case "failure":
            found = to_failure(message.failure)
            if not found.reason:
                raise InvalidArgumentError("a failure has a reason", field="failure.reason")
            return found
        case "returned":
            return Returned(reason=printable(message.returned.reason[:_MAX_REASON_CHARS]))
        case "cancelled":
            return Cancelled()
        case _:
            raise InvalidArgumentError("the result has no outcome", field="attempt_result.outcome")


def _transcoded(value: Transcoded) -> pb.TranscodeOutcome:
    return pb.TranscodeOutcome(
        object=object_name(value.object_id),
        size_bytes=value.size_bytes,
        sha256=value.sha256,
        source_census=media_census(value.source_census),
        output_census=media_census(value.output_census),
        media=media_info(value.media),
        notes=[note(n) for n in value.notes],
        frame_count=value.frame_count,
        argv=value.argv,
        source_wait=duration(value.source_wait) if value.source_wait else None,
    )


def _to_transcoded(message: pb.TranscodeOutcome) -> Transcoded:
    return Transcoded(
        object_id=parse_id(message.object, "objects", field="transcode.object"),
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        source_census=to_media_census(message.source_census),
        output_census=to_media_census(message.output_census),
        media=to_media_info(message.media),
        notes=tuple(to_note(n) for n in message.notes),
        frame_count=message.frame_count,
        argv=tuple(message.argv),
        source_wait=optional_span(message, "source_wait") or timedelta(0),
    )
