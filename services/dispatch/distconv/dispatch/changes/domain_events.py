"""What is told of jobs and engines: the rows of the outbox. Pure.

A row's `type` is the name of a message of proto/distconv/v1/event.proto, its
payload the message's fields as text; `events/wire.py` makes the one of the
other when the row is published.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from distconv.core.engine import EngineState
from distconv.core.names import attempt_name, engine_name, job_name, object_name
from distconv.core.states import JobEvent, JobState
from distconv.dispatch.store.records import EngineRecord, JobRecord, OutboxRecord

CREATED: Final = "CREATED"

# Characters of one text. What an engine says of a failure may be long; the bus refuses an event
# above its limit (1 MiB by default), and one that is refused would hold back all that follow.
MAX_TEXT: Final = 4000

_JOB_TYPES: Final[Mapping[str, str]] = {
    CREATED: "JobCreated",
    JobEvent.TASK_ASSIGNED.name: "JobAssigned",
    JobEvent.TASK_DONE.name: "JobQueued",
    JobEvent.ENCODING_STARTED.name: "TranscodingStarted",
    JobEvent.ENCODING_ENDED.name: "TranscodingEnded",
    JobEvent.RESULT_ACCEPTED.name: "JobFinished",
    JobEvent.ATTEMPT_FAILED.name: "JobRetryScheduled",
    JobEvent.RETRY_DUE.name: "JobQueued",
    JobEvent.ATTEMPT_RELEASED.name: "JobQueued",
    JobEvent.GIVEN_UP.name: "JobFinished",
    JobEvent.CANCEL.name: "JobFinished",
    JobEvent.PAUSE.name: "JobPaused",
    JobEvent.RESUME.name: "JobResumed",
    JobEvent.RETRY.name: "JobRetried",
}

_ENGINE_TYPES: Final[Mapping[EngineState, str]] = {
    EngineState.ONLINE: "EngineOnline",
    EngineState.DRAINING: "EngineDraining",
    EngineState.MAINTENANCE: "EngineInMaintenance",
    EngineState.QUARANTINED: "EngineQuarantined",
    EngineState.OFFLINE: "EngineOffline",
    EngineState.REVOKED: "EngineRevoked",
}


def job_event(
    job: JobRecord,
    came_from: JobState | None,
    event: str,
    *,
    event_id: str,
    time: datetime,
    cause: str,
    task_id: str = "",
    attempt_id: str = "",
) -> OutboxRecord:
    """Tell of a job as it is after `event`: of a move, or of another change (`JobUpdated`)."""
    kind = _JOB_TYPES.get(event, "JobUpdated")
    payload = {
        "from_state": came_from.value if came_from is not None else "",
        "state": job.state.value,
        "event": event,
        "cause": cause,
        "engine": engine_name(job.engine_id),
        "attempt": attempt_name(job.id, task_id, attempt_id) if task_id and attempt_id else "",
        **_MORE.get(kind, _nothing_more)(job),
    }
    return OutboxRecord(
        id=event_id,
        tenant=job.tenant,
        type=kind,
        subject=job_name(job.id),
        payload={name: value[:MAX_TEXT] for name, value in payload.items() if value},
        time=time,
        sequence=job.version,
    )


def engine_event(
    engine: EngineRecord,
    came_from: EngineState | None,
    *,
    event_id: str,
    time: datetime,
    cause: str,
) -> OutboxRecord:
    """Tell of an engine that is in another state than before."""
    state = engine.state
    if engine.maintenance and state in (EngineState.ONLINE, EngineState.QUARANTINED):
        state = EngineState.MAINTENANCE
    until = engine.quarantine_time if state is EngineState.QUARANTINED else None
    payload = {
        "display_name": engine.display_name,
        "from_state": came_from.value if came_from is not None else "",
        "state": state.value,
        "cause": cause,
        "slot_count": str(engine.slot_count),
        "version": engine.version,
        "expire_time": until.isoformat() if until is not None else "",
    }
    return OutboxRecord(
        id=event_id,
        tenant=engine.tenant,
        type=_ENGINE_TYPES[state],
        subject=engine_name(engine.id),
        payload={name: value[:MAX_TEXT] for name, value in payload.items() if value},
        time=time,
    )


def _nothing_more(_: JobRecord) -> dict[str, str]:
    return {}


def _created(job: JobRecord) -> dict[str, str]:
    return {
        "source": object_name(job.source_object_id),
        "file_name": job.source_file_name,
        "size_bytes": str(job.source_size_bytes),
        "profile": job.profile_name,
        "priority": str(job.priority),
        "creator": job.creator,
    }


def _retrying(job: JobRecord) -> dict[str, str]:
    return {
        "retry_time": job.retry_time.isoformat() if job.retry_time is not None else "",
        "retry_count": str(job.retry_count),
        **_error(job),
    }


def _finished(job: JobRecord) -> dict[str, str]:
    if job.output is None:
        return _error(job)
    return {
        "output": object_name(job.output.object_id),
        "size_bytes": str(job.output.size_bytes),
        "sha256": job.output.sha256,
        **_error(job),
    }


def _error(job: JobRecord) -> dict[str, str]:
    if job.error is None:
        return {}
    return {
        "error_reason": job.error.reason,
        "error_message": job.error.message,
        "error_retryable": "true" if job.error.retryable else "",
        "error_exit_code": "" if job.error.exit_code is None else str(job.error.exit_code),
    }


_MORE = {"JobCreated": _created, "JobRetryScheduled": _retrying, "JobFinished": _finished}
