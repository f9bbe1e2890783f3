"""The engine's values ↔ the contract's messages."""

from collections.abc import Sequence
from typing import assert_never

from distconv.core.engine import EngineCapabilities
from distconv.core.errors import InvalidArgumentError
from distconv.core.transfer import TransferMode
from distconv.core.version import __version__
from distconv.engine.work import (
    Assignment,
    AttemptReport,
    AttemptResult,
    LogLines,
    MediaGrant,
    ProbeWork,
    Said,
    SealedResult,
    Speed,
    TranscodeWork,
)
from distconv.rpc.convert import job, media, profile
from distconv.rpc.convert.attempt import phase, put_outcome, to_phase
from distconv.rpc.convert.engine import capabilities
from distconv.rpc.convert.times import timestamp, to_datetime, to_timedelta
from distconv.v1 import engine_pb2, job_pb2, object_pb2
from distconv.v1 import engine_service_pb2 as pb


def hello(
    *,
    engine_id: str,
    instance_id: str,
    display_name: str,
    slot_count: int,
    can: EngineCapabilities,
) -> pb.Hello:
    """Make the first message of a session, but for the attempts under way.

    `instance_id` is this process's own.
    """
    return pb.Hello(
        engine_id=engine_id,
        instance_id=instance_id,
        display_name=display_name,
        version=__version__,
        slot_count=slot_count,
        capabilities=capabilities(can),
    )


def read_assignment(payload: bytes, *, dispatch_address: str) -> Assignment:
    """Read an assignment as a runner is handed it, in the bytes of its message.

    Raises InvalidArgumentError when it is of a kind that this engine does not know.
    """
    return to_assignment(pb.Assignment.FromString(payload), dispatch_address=dispatch_address)


def to_assignment(message: pb.Assignment, *, dispatch_address: str) -> Assignment:
    """Read an assignment; storage without an address listens where dispatch does.

    Raises InvalidArgumentError when it is of a kind that this engine does not know.
    """
    work: ProbeWork | TranscodeWork
    if message.HasField("probe"):
        work = ProbeWork(
            source=_to_grant(message.probe.source, dispatch_address),
            size_bytes=message.probe.size_bytes,
        )
    elif message.HasField("transcode"):
        work = _to_transcode(message.transcode, dispatch_address)
    else:
        raise InvalidArgumentError("the assignment is of a kind that this engine does not know")
    return Assignment(
        attempt=message.attempt,
        fencing_token=message.fencing_token,
        lease_expire_time=to_datetime(message.lease_expire_time),
        work=work,
    )


def _to_transcode(message: pb.TranscodeWork, dispatch_address: str) -> TranscodeWork:
    by_file = message.transfer_mode == job_pb2.TRANSFER_MODE_FILE
    return TranscodeWork(
        source=_to_grant(message.source, dispatch_address),
        media=media.to_media_info(message.media),
        sink=_to_grant(message.sink, dispatch_address),
        profile=profile.to_profile(message.profile),
        stall_timeout=to_timedelta(message.stall_timeout),
        transfer_mode=TransferMode.FILE if by_file else TransferMode.STREAMING,
        scratch_bytes=max(message.scratch_bytes, 0),
    )


def scratch_bytes(assignment: Assignment) -> int:
    """Return how much scratch disk an assignment reserves, bytes."""
    work = assignment.work
    if isinstance(work, TranscodeWork) and work.transfer_mode is TransferMode.FILE:
        return work.scratch_bytes
    return 0


def _to_grant(message: object_pb2.MediaAccess, dispatch_address: str) -> MediaGrant:
    return MediaGrant(
        addresses=tuple(message.storage_addresses) or (dispatch_address,),
        token=message.token,
        object_name=message.object,
    )


def report(value: AttemptReport) -> pb.AttemptReport:
    """Convert a report to its message."""
    return pb.AttemptReport(
        attempt=value.attempt,
        fencing_token=value.fencing_token,
        phase=phase(value.phase),
        progress=job.progress(value.progress),
    )


def to_report(message: pb.AttemptReport) -> AttemptReport:
    """Read a report, as the supervisor does from its runners."""
    return AttemptReport(
        attempt=message.attempt,
        fencing_token=message.fencing_token,
        phase=to_phase(message.phase),
        progress=job.to_progress(message.progress),
    )


def result(value: AttemptResult) -> pb.AttemptResult:
    """Convert a result to its message."""
    message = pb.AttemptResult(attempt=value.attempt, fencing_token=value.fencing_token)
    put_outcome(message, value.outcome)
    return message


def runner_frame(value: AttemptReport | AttemptResult | LogLines) -> bytes:
    """Write what a runner says; it uses the messages of the session."""
    match value:
        case AttemptReport():
            message = pb.EngineMessage(heartbeat=pb.Heartbeat(attempts=[report(value)]))
        case AttemptResult():
            message = pb.EngineMessage(attempt_result=result(value))
        case LogLines():
            message = pb.EngineMessage(log_excerpt=log_excerpt(value))
        case unknown:
            assert_never(unknown)
    return message.SerializeToString()


def read_runner_frame(frame: bytes) -> Said:
    """Read what a runner said."""
    message = pb.EngineMessage.FromString(frame)
    if message.HasField("attempt_result"):
        return seal(message.attempt_result)
    if message.HasField("log_excerpt"):
        excerpt = message.log_excerpt
        return LogLines(attempt=excerpt.attempt, lines=tuple(excerpt.lines))
    return to_report(message.heartbeat.attempts[0])


def seal(message: pb.AttemptResult) -> SealedResult:
    """Close a result up for keeping."""
    return SealedResult(
        attempt=message.attempt,
        fencing_token=message.fencing_token,
        payload=message.SerializeToString(),
    )


def sealed(value: AttemptResult) -> SealedResult:
    """Close up a result that the supervisor makes itself."""
    return seal(result(value))


def unseal(value: SealedResult) -> pb.AttemptResult:
    """Open a result for sending."""
    return pb.AttemptResult.FromString(value.payload)


def log_excerpt(value: LogLines) -> pb.LogExcerpt:
    """Convert log lines to their message, within its bounds."""
    return pb.LogExcerpt(attempt=value.attempt, lines=[line[:1_000] for line in value.lines[-200:]])


def benchmark_report(found: Sequence[Speed]) -> pb.BenchmarkReport:
    """Convert what benchmarks found to its message."""
    return pb.BenchmarkReport(
        results=[
            engine_pb2.BenchmarkResult(
                codec=speed.codec,
                height=speed.height,
                fps=speed.fps,
                build_id=speed.build_id,
                measure_time=timestamp(speed.measure_time),
            )
            for speed in found
        ]
    )
