import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from distconv.core.engine import EngineCapabilities, EngineState
from distconv.core.failure import Failure
from distconv.core.profiles import load_catalogue
from distconv.core.progress import JobProgress
from distconv.core.states import JobEvent, JobState
from distconv.dispatch.changes.domain_events import CREATED, engine_event, job_event
from distconv.dispatch.events.wire import event_message, event_of, progress_event, raw_event_of
from distconv.dispatch.store.records import EngineRecord, JobRecord, OutboxRecord
from distconv.v1 import engine_pb2, event_pb2, job_pb2

NOW = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
JOB = JobRecord(
    id="0000000000000001",
    tenant="acme",
    creator="ann",
    state=JobState.PENDING,
    version=3,
    source_object_id="0000000000000002",
    source_file_name="clip.mkv",
    source_size_bytes=1 << 40,
    profile_name="profiles/h264-720p",
    profile=load_catalogue().get("h264-720p"),
    priority=-5,
    max_retries=2,
    create_time=NOW,
    update_time=NOW,
    retry_time=NOW + timedelta(seconds=8),
    retry_count=1,
    engine_id="0000000000000003",
    error=Failure(reason="STALLED", message="it hangs", retryable=True, argv=("ffmpeg", "-i")),
)
ENGINE = EngineRecord(
    id="0000000000000003",
    tenant="local",
    display_name="box",
    state=EngineState.ONLINE,
    version="1.2",
    capabilities=EngineCapabilities(),
    slot_count=4,
    create_time=NOW,
    quarantine_time=NOW + timedelta(minutes=5),
)


def tell(job: JobRecord, event: str, came_from: JobState | None = JobState.PENDING):
    return job_event(
        job,
        came_from,
        event,
        event_id="e1",
        time=NOW,
        cause="because",
        task_id="0000000000000004",
        attempt_id="0000000000000005",
    )


def test_a_new_job_is_told_of_whole():
    event = event_of(tell(JOB, CREATED, None))
    assert (event.id, event.source, event.type) == (
        "e1",
        "/distconv/dispatch",
        "distconv.v1.JobCreated",
    )
    assert (event.subject, event.tenant, event.sequence) == (f"jobs/{JOB.id}", "acme", 3)
    assert event.time == NOW
    message = event_pb2.JobCreated.FromString(event.data)
    assert message == event_pb2.JobCreated(
        move=event_pb2.JobMove(
            job=f"jobs/{JOB.id}",
            state=job_pb2.JOB_STATE_PENDING,
            event="CREATED",
            cause="because",
            engine=f"engines/{ENGINE.id}",
            attempt=f"jobs/{JOB.id}/tasks/0000000000000004/attempts/0000000000000005",
        ),
        source=f"objects/{JOB.source_object_id}",
        file_name="clip.mkv",
        size_bytes=1 << 40,
        profile="profiles/h264-720p",
        priority=-5,
        creator="ann",
    )


@pytest.mark.parametrize("event", JobEvent)
def test_every_move_has_a_message_of_the_contract(event: JobEvent):
    made = event_of(tell(JOB, event.name))
    kind = getattr(event_pb2, made.name)
    assert made.name != "JobUpdated"
    assert kind.FromString(made.data).move.event == event.name


def test_a_retry_says_when_and_why_without_the_command_line():
    event = event_of(tell(replace(JOB, state=JobState.RETRYING), "ATTEMPT_FAILED"))
    message = event_pb2.JobRetryScheduled.FromString(event.data)
    assert message.retry_time.ToDatetime(UTC) == JOB.retry_time
    assert message.retry_count == 1
    assert message.error == job_pb2.Failure(reason="STALLED", message="it hangs", retryable=True)


def test_what_is_told_has_a_limit():
    """An event above the limit of the bus would hold back all that follow it."""
    error = Failure(reason="ENCODE_FAILED", message="no " * 1_000_000, retryable=True)
    row = job_event(
        replace(JOB, error=error, state=JobState.FAILED),
        JobState.TRANSCODING,
        JobEvent.GIVEN_UP.name,
        event_id="event0000000000a",
        time=NOW,
        cause=error.message,
    )
    assert len(event_of(row).data) < 10_000


def test_another_change_is_an_update():
    event = event_of(tell(JOB, "DELETED"))
    assert event.type == "distconv.v1.JobUpdated"
    assert event_pb2.JobUpdated.FromString(event.data).move.event == "DELETED"


@pytest.mark.parametrize("state", EngineState)
def test_every_state_of_an_engine_has_a_message(state: EngineState):
    row = engine_event(
        replace(ENGINE, state=state), EngineState.OFFLINE, event_id="e", time=NOW, cause="why"
    )
    event = event_of(row)
    message = getattr(event_pb2, event.name).FromString(event.data)
    assert message.move.engine == event.subject == f"engines/{ENGINE.id}"
    assert message.move.from_state == engine_pb2.ENGINE_STATE_OFFLINE
    assert engine_pb2.EngineState.Name(message.move.state) == f"ENGINE_STATE_{state.value}"
    if state is EngineState.QUARANTINED:
        assert message.expire_time.ToDatetime(UTC) == ENGINE.quarantine_time
    if state is EngineState.ONLINE:
        assert message.slot_count == 4


def test_a_type_that_the_contract_lacks_goes_as_json():
    row = OutboxRecord(
        id="x", tenant="t", type="Old", subject="jobs/a", payload={"state": "X"}, time=NOW
    )
    event = event_of(row)
    assert (event.content_type, json.loads(event.data)) == ("application/json", {"state": "X"})
    message = event_message(event)
    assert not message.HasField("data")
    assert message.raw == event.data


def test_any_row_can_be_told_of_raw():
    row = OutboxRecord(tenant="", type="not a type", subject="", payload={"a": "b"}, time=NOW)
    assert json.loads(raw_event_of(row).data)["type"] == "not a type"


def test_progress_and_its_packing():
    sample = JobProgress(fraction=0.5, frame_count=10, update_time=NOW)
    event = progress_event(JOB.id, "acme", sample, event_id="p", time=NOW)
    packed = event_message(event).data
    unpacked = event_pb2.ProgressUpdated()
    assert packed.Unpack(unpacked)
    assert unpacked.progress.fraction == 0.5
