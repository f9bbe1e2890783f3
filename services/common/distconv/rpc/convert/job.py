"""Failure, JobProgress, Note and TransferMode ↔ what the contract has of them."""

from distconv.core.errors import InvalidArgumentError
from distconv.core.failure import Failure
from distconv.core.progress import JobProgress
from distconv.core.report import Note, NoteSeverity
from distconv.core.transfer import TransferMode
from distconv.rpc.convert.plain import finite, printable
from distconv.rpc.convert.times import duration, optional_time, timestamp, to_timedelta
from distconv.v1 import job_pb2 as pb

_SEVERITIES = {
    NoteSeverity.INFO: pb.NOTE_SEVERITY_INFO,
    NoteSeverity.WARNING: pb.NOTE_SEVERITY_WARNING,
    NoteSeverity.LOST: pb.NOTE_SEVERITY_LOST,
}
_SEVERITIES_BACK = {number: severity for severity, number in _SEVERITIES.items()}
_TRANSFER_MODES = {
    TransferMode.STREAMING: pb.TRANSFER_MODE_STREAMING,
    TransferMode.FILE: pb.TRANSFER_MODE_FILE,
}
_TRANSFER_MODES_BACK = {number: mode for mode, number in _TRANSFER_MODES.items()}


def failure(value: Failure) -> pb.Failure:
    """Convert a failure to its message."""
    return pb.Failure(
        reason=value.reason,
        message=value.message,
        retryable=value.retryable,
        argv=value.argv,
        exit_code=value.exit_code,
        stderr_tail=value.stderr_tail,
    )


def to_failure(message: pb.Failure) -> Failure:
    """Convert a message to a failure."""
    return Failure(
        reason=printable(message.reason),
        message=printable(message.message),
        retryable=message.retryable,
        argv=tuple(message.argv),
        exit_code=message.exit_code if message.HasField("exit_code") else None,
        stderr_tail=tuple(message.stderr_tail),
    )


def progress(value: JobProgress) -> pb.JobProgress:
    """Convert progress to its message."""
    return pb.JobProgress(
        fraction=value.fraction,
        frame_count=value.frame_count,
        fps=value.fps,
        speed=value.speed,
        out_time=duration(value.out_time),
        read_bytes=value.read_bytes,
        written_bytes=value.written_bytes,
        eta=duration(value.eta),
        update_time=timestamp(value.update_time),
    )


def to_progress(message: pb.JobProgress) -> JobProgress:
    """Convert a message to progress."""
    return JobProgress(
        fraction=finite(message.fraction) if message.HasField("fraction") else None,
        frame_count=message.frame_count,
        fps=finite(message.fps),
        speed=finite(message.speed),
        out_time=to_timedelta(message.out_time),
        read_bytes=message.read_bytes,
        written_bytes=message.written_bytes,
        eta=to_timedelta(message.eta) if message.HasField("eta") else None,
        update_time=optional_time(message, "update_time"),
    )


def note(value: Note) -> pb.ReportNote:
    """Convert a note to its message."""
    return pb.ReportNote(
        severity=_SEVERITIES[value.severity],
        stream_index=value.stream_index,
        message=value.message,
    )


def to_note(message: pb.ReportNote) -> Note:
    """Convert a message to a note; a severity that this version does not know is a WARNING."""
    return Note(
        severity=_SEVERITIES_BACK.get(message.severity, NoteSeverity.WARNING),
        message=message.message,
        stream_index=message.stream_index if message.HasField("stream_index") else None,
    )


def transfer_mode(value: TransferMode | None) -> pb.TransferMode.ValueType:
    """Convert a transfer mode to its number; None is UNSPECIFIED."""
    return pb.TRANSFER_MODE_UNSPECIFIED if value is None else _TRANSFER_MODES[value]


def to_transfer_mode(number: pb.TransferMode.ValueType, *, field: str) -> TransferMode | None:
    """Convert a number to a transfer mode; UNSPECIFIED is None.

    Raises InvalidArgumentError naming `field` for a number that is none.
    """
    if number == pb.TRANSFER_MODE_UNSPECIFIED:
        return None
    try:
        return _TRANSFER_MODES_BACK[number]
    except KeyError:
        raise InvalidArgumentError(
            f"{field} is not acceptable: {number} is no transfer mode; allowed is "
            + ", ".join(f"{pb.TransferMode.Name(n)} ({n})" for n in _TRANSFER_MODES_BACK),
            field=field,
        ) from None
