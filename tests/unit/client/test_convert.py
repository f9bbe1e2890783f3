from datetime import UTC, datetime, timedelta

import pytest

from distconv.client.convert.engine import to_engine
from distconv.client.convert.job import to_job, to_task
from distconv.core.attempt_states import AttemptState
from distconv.core.engine import EngineState
from distconv.core.errors import InternalError
from distconv.core.report import NoteSeverity
from distconv.core.states import JobState
from distconv.core.task_states import TaskKind, TaskState
from distconv.v1 import engine_pb2, job_pb2


def test_every_state_of_the_contract_has_its_value() -> None:
    for number in list(job_pb2.JobState.values())[1:]:
        job = to_job(job_pb2.Job(state=job_pb2.JobState.ValueType(number)))
        assert f"JOB_STATE_{job.state}" == job_pb2.JobState.Name(number)
    assert {state.value for state in EngineState} == {
        name.removeprefix("ENGINE_STATE_") for name in engine_pb2.EngineState.keys()[1:]
    }
    assert {state.value for state in TaskState} == {
        name.removeprefix("TASK_STATE_") for name in job_pb2.TaskState.keys()[1:]
    }
    assert {state.value for state in AttemptState} == {
        name.removeprefix("ATTEMPT_STATE_") for name in job_pb2.AttemptState.keys()[1:]
    }
    assert {kind.value for kind in TaskKind} == {
        name.removeprefix("TASK_KIND_") for name in job_pb2.TaskKind.keys()[1:]
    }


def test_a_state_of_a_newer_server_says_to_update() -> None:
    with pytest.raises(InternalError, match="update this client"):
        to_job(job_pb2.Job(state=99))  # type: ignore[arg-type]


def test_what_is_not_set_is_none() -> None:
    job = to_job(job_pb2.Job(name="jobs/a", state=job_pb2.JOB_STATE_PENDING))
    assert job.id == "a"
    assert job.state is JobState.PENDING
    assert (job.deadline, job.ttl, job.max_retries, job.progress) == (None, None, None, None)
    assert (job.error, job.output, job.profile_spec, job.end_time) == (None, None, None, None)


def test_a_full_job() -> None:
    message = job_pb2.Job(
        name="jobs/a",
        state=job_pb2.JOB_STATE_COMPLETED,
        max_retries=0,
        labels={"show": "x"},
        output=job_pb2.JobOutput(
            object="objects/o",
            size_bytes=7,
            notes=[job_pb2.ReportNote(severity=job_pb2.NOTE_SEVERITY_LOST, message="m")],
        ),
        error=job_pb2.Failure(reason="STALLED", message="m", exit_code=-9),
    )
    message.ttl.FromSeconds(90)
    message.create_time.FromDatetime(datetime(2025, 1, 2, tzinfo=UTC))
    job = to_job(message)
    assert job.max_retries == 0
    assert job.ttl == timedelta(seconds=90)
    assert job.create_time == datetime(2025, 1, 2, tzinfo=UTC)
    assert job.output is not None
    assert job.output.notes[0].severity is NoteSeverity.LOST
    assert job.output.notes[0].stream_index is None
    assert job.error is not None
    assert job.error.exit_code == -9


def test_tasks_and_engines() -> None:
    task = to_task(
        job_pb2.Task(
            name="jobs/a/tasks/1",
            kind=job_pb2.TASK_KIND_PROBE,
            state=job_pb2.TASK_STATE_READY,
            attempts=[
                job_pb2.Attempt(state=job_pb2.ATTEMPT_STATE_LOST, engine="engines/e", decision="d")
            ],
        )
    )
    assert (task.kind, task.attempts[0].state) == (TaskKind.PROBE, AttemptState.LOST)
    engine = to_engine(
        engine_pb2.Engine(
            name="engines/e",
            state=engine_pb2.ENGINE_STATE_ONLINE,
            capabilities=engine_pb2.EngineCapabilities(
                transcoders=[engine_pb2.TranscoderInfo(name="ffmpeg", encoders=["libx264"])]
            ),
        )
    )
    assert engine.id == "e"
    assert engine.metrics is None
    assert engine.capabilities.transcoders[0].encoders == ("libx264",)
