"""Session messages ↔ the contract's."""

from typing import assert_never

from distconv.core.errors import InvalidArgumentError
from distconv.core.ids import ID_LENGTH
from distconv.core.names import (
    AttemptRef,
    attempt_name,
    engine_name,
    is_id,
    parse_attempt,
)
from distconv.core.progress import JobProgress
from distconv.core.version import __version__
from distconv.dispatch.objects.wire import media_access
from distconv.dispatch.sessions import messages as m
from distconv.rpc.convert.attempt import to_outcome, to_phase
from distconv.rpc.convert.engine import to_capabilities, to_metrics
from distconv.rpc.convert.job import to_progress, transfer_mode
from distconv.rpc.convert.media import media_info
from distconv.rpc.convert.plain import finite, printable
from distconv.rpc.convert.profile import profile
from distconv.rpc.convert.times import duration, optional_time, timestamp
from distconv.v1 import engine_pb2
from distconv.v1 import engine_service_pb2 as pb

MAX_SLOTS = 256
_MAX_NAME = 255
_MAX_BUILD_ID = 128
_MAX_LOG_LINES = 200
_MAX_LOG_CHARS = 1000
_MAX_RESULTS = 64


def to_hello(message: pb.EngineMessage) -> m.Hello:
    """Read the first message of a session. Raises InvalidArgumentError."""
    if not message.HasField("hello"):
        raise InvalidArgumentError("a session begins with a Hello", field="hello")
    hello = message.hello
    if not is_id(hello.engine_id):
        raise InvalidArgumentError(
            f"'{hello.engine_id[:40]}' is not an engine's id", field="hello.engine_id"
        )
    if not 1 <= hello.slot_count <= MAX_SLOTS:
        raise InvalidArgumentError(
            f"an engine has 1 to {MAX_SLOTS} slots, not {hello.slot_count}",
            field="hello.slot_count",
        )
    return m.Hello(
        engine_id=hello.engine_id,
        display_name=printable(hello.display_name[:_MAX_NAME]),
        version=printable(hello.version[:64]),
        capabilities=to_capabilities(hello.capabilities),
        slot_count=hello.slot_count,
        attempts=[_to_report(r) for r in hello.attempts],
        instance_id=printable(hello.instance_id[:ID_LENGTH]),
    )


def to_message(message: pb.EngineMessage) -> m.FromEngine | None:
    """Read a later message; None for one that this version has no use for.

    Raises InvalidArgumentError.
    """
    match message.WhichOneof("message"):
        case "heartbeat":
            beat = message.heartbeat
            return m.Heartbeat(
                attempts=[_to_report(r) for r in beat.attempts],
                metrics=to_metrics(beat.metrics) if beat.HasField("metrics") else None,
                draining=beat.draining,
            )
        case "assignment_reply":
            reply = message.assignment_reply
            return m.AssignmentReply(
                ref=parse_attempt(reply.attempt),
                fencing_token=reply.fencing_token,
                accepted=reply.accepted,
                refusal=printable(reply.refusal[:_MAX_LOG_CHARS]),
            )
        case "attempt_result":
            result = message.attempt_result
            return m.AttemptResult(
                ref=parse_attempt(result.attempt),
                fencing_token=result.fencing_token,
                outcome=to_outcome(result),
            )
        case "log_excerpt":
            log = message.log_excerpt
            return m.LogExcerpt(
                ref=parse_attempt(log.attempt),
                lines=tuple(line[:_MAX_LOG_CHARS] for line in log.lines[-_MAX_LOG_LINES:]),
            )
        case "benchmark_report":
            return m.BenchmarkReport(
                results=[_to_benchmark(r) for r in message.benchmark_report.results[:_MAX_RESULTS]]
            )
        case "hello":
            raise InvalidArgumentError("a session has one Hello", field="hello")
        case _:
            return None


def _to_benchmark(message: engine_pb2.BenchmarkResult) -> m.BenchmarkResult:
    return m.BenchmarkResult(
        codec=printable(message.codec[:16]),
        height=message.height,
        fps=finite(message.fps),
        build_id=printable(message.build_id[:_MAX_BUILD_ID]),
        measure_time=optional_time(message, "measure_time"),
    )


def _to_report(message: pb.AttemptReport) -> m.AttemptReport:
    return m.AttemptReport(
        ref=parse_attempt(message.attempt),
        fencing_token=message.fencing_token,
        phase=to_phase(message.phase),
        progress=to_progress(message.progress) if message.HasField("progress") else JobProgress(),
    )


def dispatch_message(value: m.ToEngine) -> pb.DispatchMessage:  # noqa: PLR0911  # one per kind
    """Convert a message to an engine."""
    match value:
        case m.Welcome():
            return pb.DispatchMessage(welcome=_welcome(value))
        case m.HeartbeatAck():
            return pb.DispatchMessage(heartbeat_ack=_heartbeat_ack(value))
        case m.Assignment():
            return pb.DispatchMessage(assignment=_assignment(value))
        case m.CancelAttempt():
            return pb.DispatchMessage(
                cancel_attempt=pb.CancelAttempt(
                    attempt=_name(value.ref),
                    fencing_token=value.fencing_token,
                    reason=value.reason,
                )
            )
        case m.ResultAck():
            return pb.DispatchMessage(
                result_ack=pb.ResultAck(
                    attempt=_name(value.ref),
                    fencing_token=value.fencing_token,
                    accepted=value.accepted,
                )
            )
        case m.Drain():
            return pb.DispatchMessage(
                drain=pb.Drain(reason=value.reason, dispatch_addresses=value.addresses)
            )
        case m.BenchmarkRequest():
            return pb.DispatchMessage(
                benchmark_request=pb.BenchmarkRequest(codecs=value.codecs, heights=value.heights)
            )
        case unknown:
            assert_never(unknown)


def _name(ref: AttemptRef) -> str:
    return attempt_name(ref.job, ref.task, ref.attempt)


def _welcome(value: m.Welcome) -> pb.Welcome:
    return pb.Welcome(
        engine=engine_name(value.engine_id),
        session_id=value.session_id,
        settings=pb.SessionSettings(
            heartbeat_interval=duration(value.heartbeat_interval),
            lease_duration=duration(value.lease_duration),
        ),
        stale_attempts=[_name(ref) for ref in value.stale],
        version=__version__,
    )


def _heartbeat_ack(value: m.HeartbeatAck) -> pb.HeartbeatAck:
    return pb.HeartbeatAck(
        renewals=[
            pb.LeaseRenewal(
                attempt=_name(r.ref),
                fencing_token=r.fencing_token,
                expire_time=timestamp(r.expire_time),
            )
            for r in value.renewals
        ],
        stale_attempts=[_name(ref) for ref in value.stale],
    )


def _assignment(value: m.Assignment) -> pb.Assignment:
    message = pb.Assignment(
        attempt=_name(value.ref),
        fencing_token=value.fencing_token,
        lease_expire_time=timestamp(value.lease_expire_time),
    )
    match value.work:
        case m.ProbeWork(source=source, size_bytes=size_bytes):
            message.probe.source.CopyFrom(media_access(source))
            message.probe.size_bytes = size_bytes
        case m.TranscodeWork() as work:
            message.transcode.CopyFrom(
                pb.TranscodeWork(
                    source=media_access(work.source),
                    media=media_info(work.media),
                    sink=media_access(work.sink),
                    profile=profile(work.profile),
                    transfer_mode=transfer_mode(work.transfer_mode),
                    scratch_bytes=work.scratch_bytes,
                    stall_timeout=duration(work.stall_timeout),
                )
            )
    return message
