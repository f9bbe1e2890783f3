"""Job, Task, Attempt messages → values."""

from distconv.client.convert.enums import by_name
from distconv.client.job import (
    Attempt,
    EngineFit,
    Explanation,
    Job,
    JobHistory,
    JobOutput,
    JobSize,
    JobSource,
    JobTransition,
    Task,
)
from distconv.core.attempt_states import AttemptState
from distconv.core.states import JobState
from distconv.core.task_states import TaskKind, TaskState
from distconv.core.transfer import TransferMode
from distconv.rpc.convert.job import to_failure, to_note, to_progress
from distconv.rpc.convert.media import to_media_census, to_media_info
from distconv.rpc.convert.profile import to_profile
from distconv.rpc.convert.times import optional_span, optional_time
from distconv.v1 import dispatch_service_pb2 as dispatch
from distconv.v1 import job_pb2 as pb


def to_job(message: pb.Job) -> Job:
    """Convert a message to a job."""
    return Job(
        name=message.name,
        state=_to_state(message.state),
        source=_to_source(message.source),
        profile=message.profile,
        profile_spec=to_profile(message.profile_spec) if message.HasField("profile_spec") else None,
        priority=message.priority,
        deadline=optional_time(message, "deadline"),
        ttl=optional_span(message, "ttl"),
        max_retries=message.max_retries if message.HasField("max_retries") else None,
        labels=dict(message.labels),
        tenant=message.tenant,
        creator=message.creator,
        create_time=optional_time(message, "create_time"),
        update_time=optional_time(message, "update_time"),
        start_time=optional_time(message, "start_time"),
        end_time=optional_time(message, "end_time"),
        retry_time=optional_time(message, "retry_time"),
        delete_time=optional_time(message, "delete_time"),
        etag=message.etag,
        progress=to_progress(message.progress) if message.HasField("progress") else None,
        engine=message.engine,
        retry_count=message.retry_count,
        error=to_failure(message.error) if message.HasField("error") else None,
        output=_to_output(message.output) if message.HasField("output") else None,
        wait_reason=message.wait_reason,
        engine_tags=tuple(message.engine_tags),
        size=JobSize(
            size_bytes=message.size.size_bytes,
            duration=optional_span(message.size, "duration"),
            pixel_count=message.size.pixel_count,
        ),
        attempt_count=message.attempt_count,
        transfer_mode=_to_transfer_mode(message.transfer_mode),
    )


def to_task(message: pb.Task) -> Task:
    """Convert a message to a task."""
    return Task(
        name=message.name,
        kind=by_name(pb.TaskKind.Name, message.kind, TaskKind, "TASK_KIND_"),
        state=by_name(pb.TaskState.Name, message.state, TaskState, "TASK_STATE_"),
        depends_on=tuple(message.depends_on),
        attempts=tuple(_to_attempt(a) for a in message.attempts),
        create_time=optional_time(message, "create_time"),
        requirement=message.requirement,
        retry_time=optional_time(message, "retry_time"),
        lost_count=message.lost_count,
    )


def to_history(message: dispatch.GetJobHistoryResponse) -> JobHistory:
    """Convert a message to a job's history."""
    return JobHistory(
        transitions=tuple(_to_transition(t) for t in message.transitions),
        attempts=tuple(_to_attempt(a) for a in message.attempts),
    )


def to_explanation(message: dispatch.ExplainJobResponse) -> Explanation:
    """Convert a message to an explanation."""
    return Explanation(
        summary=message.summary,
        engines=tuple(
            EngineFit(
                engine=fit.engine,
                fits=fit.fits,
                runs=fit.runs,
                busy=fit.busy,
                reasons=tuple(fit.reasons),
                estimate=optional_span(fit, "estimate"),
            )
            for fit in message.engines
        ),
    )


def _to_transition(message: pb.JobTransition) -> JobTransition:
    return JobTransition(
        time=optional_time(message, "time"),
        from_state=_to_state(message.from_state) if message.from_state else None,
        to_state=_to_state(message.to_state),
        event=message.event,
        cause=message.cause,
        attempt=message.attempt,
    )


def _to_state(number: pb.JobState.ValueType) -> JobState:
    return by_name(pb.JobState.Name, number, JobState, "JOB_STATE_")


def _to_transfer_mode(number: pb.TransferMode.ValueType) -> TransferMode | None:
    if not number:
        return None
    return by_name(pb.TransferMode.Name, number, TransferMode, "TRANSFER_MODE_")


def _to_source(message: pb.JobSource) -> JobSource:
    return JobSource(
        object=message.object,
        file_name=message.file_name,
        size_bytes=message.size_bytes,
        media=to_media_info(message.media) if message.HasField("media") else None,
    )


def _to_output(message: pb.JobOutput) -> JobOutput:
    return JobOutput(
        object=message.object,
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        media=to_media_info(message.media) if message.HasField("media") else None,
        census=to_media_census(message.census) if message.HasField("census") else None,
        notes=tuple(to_note(n) for n in message.notes),
    )


def _to_attempt(message: pb.Attempt) -> Attempt:
    return Attempt(
        name=message.name,
        state=by_name(pb.AttemptState.Name, message.state, AttemptState, "ATTEMPT_STATE_"),
        engine=message.engine,
        fencing_token=message.fencing_token,
        lease_expire_time=optional_time(message, "lease_expire_time"),
        create_time=optional_time(message, "create_time"),
        start_time=optional_time(message, "start_time"),
        end_time=optional_time(message, "end_time"),
        decision=message.decision,
        error=to_failure(message.error) if message.HasField("error") else None,
        log_excerpt=tuple(message.log_excerpt),
        transfer_mode=_to_transfer_mode(message.transfer_mode),
        estimate=optional_span(message, "estimate"),
        object=message.object,
    )
