"""dispatch's values ↔ the contract's messages."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from distconv.core.attempt_states import AttemptState
from distconv.core.engine import EngineState
from distconv.core.errors import DistconvError
from distconv.core.names import (
    attempt_name,
    engine_name,
    job_name,
    object_name,
    profile_name,
    task_name,
)
from distconv.core.states import JobState
from distconv.core.task_states import TaskKind, TaskState
from distconv.core.transfer import TransferMode
from distconv.dispatch.reading.explanation import Explanation
from distconv.dispatch.reading.views import EngineView, JobView, TaskView
from distconv.dispatch.steering.job_update import JobUpdate, etag_of
from distconv.dispatch.steering.order import JobOrder
from distconv.dispatch.steering.wrongs import Wrongs
from distconv.dispatch.store.records import (
    AttemptRecord,
    JobOutput,
    JobRecord,
    TaskRecord,
    TransitionRecord,
)
from distconv.rpc.convert.engine import capabilities, metrics
from distconv.rpc.convert.job import (
    failure,
    note,
    progress,
    to_transfer_mode,
    transfer_mode,
)
from distconv.rpc.convert.media import media_census, media_info
from distconv.rpc.convert.profile import profile, to_container, to_profile
from distconv.rpc.convert.times import duration, optional_span, optional_time, timestamp
from distconv.v1 import dispatch_service_pb2, engine_pb2, job_pb2

_JOB_STATES = {state: job_pb2.JobState.Value(f"JOB_STATE_{state.value}") for state in JobState}


def _number(prefix: str, value: StrEnum) -> str:
    return f"{prefix}_{value.value}"


def to_order(request: dispatch_service_pb2.CreateJobRequest) -> JobOrder:
    """Read a CreateJob request; its values are checked later.

    Raises InvalidProfileError, and InvalidArgumentError for a transfer mode that is none.
    """
    job = request.job
    return JobOrder(
        source_object=job.source.object,
        source_file_name=job.source.file_name,
        profile=job.profile,
        profile_spec=to_profile(job.profile_spec) if job.HasField("profile_spec") else None,
        container=to_container(request.container),
        priority=job.priority,
        deadline=optional_time(job, "deadline"),
        ttl=optional_span(job, "ttl"),
        max_retries=job.max_retries if job.HasField("max_retries") else None,
        labels=dict(job.labels),
        engine_tags=tuple(job.engine_tags),
        transfer_mode=to_transfer_mode(job.transfer_mode, field="job.transfer_mode"),
        request_id=request.request_id,
        validate_only=request.validate_only,
    )


def to_orders(
    requests: Iterable[dispatch_service_pb2.CreateJobRequest],
) -> list[JobOrder]:
    """Read the requests of a batch. Raises what `to_order` does, naming the request."""
    wrongs, orders = Wrongs(of_batch=True), list[JobOrder]()
    for index, request in enumerate(requests):
        try:
            orders.append(to_order(request))
        except DistconvError as error:
            wrongs.add(index, error)
    wrongs.raise_if_any()
    return orders


def to_update(request: dispatch_service_pb2.UpdateJobRequest) -> JobUpdate:
    """Read an UpdateJob request; its values are checked later. Raises what `to_order` does."""
    created = dispatch_service_pb2.CreateJobRequest(job=request.job, container=request.container)
    return JobUpdate(
        name=request.job.name,
        etag=request.job.etag,
        order=to_order(created),
        paths=tuple(dict.fromkeys(request.update_mask.paths)),
    )


def job(view: JobView) -> job_pb2.Job:
    """Convert a job to its message; one that was only validated has no name."""
    record = view.job
    return job_pb2.Job(
        name=job_name(record.id) if record.id else "",
        state=_JOB_STATES[record.state],
        source=job_pb2.JobSource(
            object=object_name(record.source_object_id),
            file_name=record.source_file_name,
            size_bytes=record.source_size_bytes,
            media=None if record.source_media is None else media_info(record.source_media),
        ),
        profile=profile_name(record.profile_name),
        profile_spec=profile(record.profile),
        priority=record.priority,
        deadline=timestamp(record.deadline),
        ttl=duration(record.ttl),
        max_retries=record.max_retries,
        labels=dict(record.labels),
        tenant=record.tenant,
        creator=record.creator,
        create_time=timestamp(record.create_time),
        update_time=timestamp(record.update_time),
        start_time=timestamp(record.start_time),
        end_time=timestamp(record.end_time),
        retry_time=timestamp(record.retry_time),
        delete_time=timestamp(record.delete_time),
        etag=etag_of(record),
        progress=None if record.progress is None else progress(record.progress),
        engine=engine_name(record.engine_id),
        retry_count=record.retry_count,
        error=None if record.error is None else failure(record.error),
        output=None if record.output is None else _output(record.output),
        wait_reason=view.wait_reason,
        engine_tags=record.engine_tags,
        size=job_pb2.JobSize(
            size_bytes=record.source_size_bytes,
            duration=duration(record.duration),
            pixel_count=record.pixel_count,
        ),
        attempt_count=record.attempt_count,
        transfer_mode=transfer_mode(record.transfer_mode),
    )


def job_in_brief(record: JobRecord) -> job_pb2.Job:
    """Convert of a job what BatchCreateJobs tells unless asked for more."""
    return job_pb2.Job(
        name=job_name(record.id) if record.id else "",
        state=job_pb2.JobState.Value(_number("JOB_STATE", record.state)),
        profile=profile_name(record.profile_name),
        create_time=timestamp(record.create_time),
        etag=etag_of(record),
    )


def transition(
    record: TransitionRecord, attempts: Mapping[str, AttemptRecord]
) -> job_pb2.JobTransition:
    """Convert a move of a job to its message; `attempts` are the job's, by id."""
    came_from = record.from_state
    of = attempts.get(record.attempt_id)
    return job_pb2.JobTransition(
        time=timestamp(record.time),
        from_state=(
            job_pb2.JOB_STATE_UNSPECIFIED
            if came_from is None
            else job_pb2.JobState.Value(_number("JOB_STATE", came_from))
        ),
        to_state=job_pb2.JobState.Value(_number("JOB_STATE", record.to_state)),
        event=record.event,
        cause=record.cause,
        attempt="" if of is None else attempt_name(of.job_id, of.task_id, of.id),
    )


def _output(value: JobOutput) -> job_pb2.JobOutput:
    return job_pb2.JobOutput(
        object=object_name(value.object_id),
        size_bytes=value.size_bytes,
        sha256=value.sha256,
        media=media_info(value.media),
        census=media_census(value.census),
        notes=[note(n) for n in value.notes],
    )


def task(view: TaskView) -> job_pb2.Task:
    """Convert a task with its attempts to its message."""
    record = view.task
    return job_pb2.Task(
        name=task_name(record.job_id, record.id),
        kind=job_pb2.TaskKind.Value(_number("TASK_KIND", TaskKind(record.kind))),
        state=job_pb2.TaskState.Value(_number("TASK_STATE", TaskState(record.state))),
        depends_on=_depends_on(record),
        attempts=[attempt(a) for a in view.attempts],
        create_time=timestamp(record.create_time),
        requirement=record.requirement,
        retry_time=timestamp(record.retry_time),
        lost_count=record.lost_count,
    )


def _depends_on(record: TaskRecord) -> list[str]:
    return [task_name(record.job_id, other) for other in record.depends_on]


def attempt(record: AttemptRecord) -> job_pb2.Attempt:
    """Convert an attempt to its message."""
    return job_pb2.Attempt(
        name=attempt_name(record.job_id, record.task_id, record.id),
        state=job_pb2.AttemptState.Value(_number("ATTEMPT_STATE", AttemptState(record.state))),
        engine=engine_name(record.engine_id),
        fencing_token=record.fencing_token,
        lease_expire_time=timestamp(record.lease_expire_time),
        create_time=timestamp(record.create_time),
        start_time=timestamp(record.start_time),
        end_time=timestamp(record.end_time),
        decision=record.decision,
        error=None if record.error is None else failure(record.error),
        log_excerpt=record.log_excerpt,
        transfer_mode=transfer_mode(
            TransferMode(record.transfer_mode) if record.transfer_mode else None
        ),
        estimate=duration(record.estimate),
        object=object_name(record.object_id) if record.object_id else "",
    )


def engine(view: EngineView) -> engine_pb2.Engine:
    """Convert an engine to its message."""
    record = view.engine
    return engine_pb2.Engine(
        name=engine_name(record.id),
        display_name=record.display_name,
        state=engine_pb2.EngineState.Value(_number("ENGINE_STATE", EngineState(record.state))),
        version=record.version,
        capabilities=capabilities(record.capabilities),
        slot_count=record.slot_count,
        busy_slot_count=len(view.attempts),
        metrics=None if record.metrics is None else metrics(record.metrics),
        attempts=[attempt_name(a.job_id, a.task_id, a.id) for a in view.attempts],
        create_time=timestamp(record.create_time),
        connect_time=timestamp(record.connect_time),
        heartbeat_time=timestamp(record.heartbeat_time),
        maintenance=record.maintenance,
        quarantine_expire_time=timestamp(record.quarantine_time),
        quarantine_reason=record.quarantine_reason,
        strike_count=record.strike_count,
        replica=record.replica_id,
    )


def explanation(value: Explanation) -> dispatch_service_pb2.ExplainJobResponse:
    """Convert an explanation to its message."""
    return dispatch_service_pb2.ExplainJobResponse(
        summary=value.summary,
        engines=[
            dispatch_service_pb2.EngineFit(
                engine=engine_name(fit.engine_id),
                fits=fit.fits,
                runs=fit.runs,
                busy=fit.busy,
                reasons=fit.reasons,
                estimate=duration(fit.estimate),
            )
            for fit in value.engines
        ],
    )
