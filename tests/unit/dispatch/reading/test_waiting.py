from dataclasses import replace
from datetime import UTC, datetime

from distconv.core.engine import EngineCapabilities, TranscoderInfo
from distconv.core.failure import Failure
from distconv.core.profiles import load_catalogue
from distconv.core.states import JobState
from distconv.core.task_states import TaskKind, TaskState
from distconv.dispatch.placement.matching import Matching
from distconv.dispatch.reading.waiting import EngineLoad, wait_reason
from distconv.dispatch.store.records import JobRecord, TaskRecord

NOW = datetime(2030, 1, 1, 9, 30, tzinfo=UTC)
PROFILE = load_catalogue().get("av1-720p")
JOB = JobRecord(
    id="j",
    tenant="local",
    creator="u",
    state=JobState.PENDING,
    source_object_id="o",
    source_file_name="f",
    source_size_bytes=1,
    profile_name=PROFILE.name,
    profile=PROFILE,
    max_retries=2,
    create_time=NOW,
    update_time=NOW,
)
TASK = TaskRecord(
    id="t",
    tenant="local",
    job_id="j",
    ordinal=1,
    kind=TaskKind.TRANSCODE,
    state=TaskState.READY,
    requirement="encoder=libsvtav1",
    create_time=NOW,
    update_time=NOW,
)


def load(*encoders: str, slots: int = 1, free: int = 0, takes_work: bool = True) -> EngineLoad:
    info = TranscoderInfo(name="ffmpeg", version="9", build_id="b", encoders=encoders)
    return EngineLoad(
        engine_id="e",
        matching=Matching(EngineCapabilities(transcoders=(info,)), engine_id="e"),
        slot_count=slots,
        free_slot_count=free,
        takes_work=takes_work,
    )


def test_nobody_is_there() -> None:
    assert wait_reason(JOB, TASK, [], ahead=None).startswith("no engine is connected; start one")


def test_nobody_can() -> None:
    engines = [load("libx264"), load("libx265")]
    reason = wait_reason(JOB, TASK, engines, ahead=0)
    assert reason == "2 engines connected but none has libsvtav1"


def test_all_are_busy() -> None:
    engines = [load("libsvtav1", slots=2), load("libsvtav1"), load("libx264", slots=9, free=9)]
    assert wait_reason(JOB, TASK, engines, ahead=3) == "all 3 slots are busy; 3 jobs ahead"
    assert wait_reason(JOB, TASK, engines, ahead=None) == "all 3 slots are busy"
    assert wait_reason(JOB, TASK, [load("libsvtav1")], ahead=1) == "its slot is busy; 1 job ahead"


def test_the_next_in_line_is_told_so() -> None:
    assert wait_reason(JOB, TASK, [load("libsvtav1")], ahead=0) == "its slot is busy; it is next"


def test_none_takes_work() -> None:
    engines = [load("libsvtav1", free=1, takes_work=False)]
    assert "takes no new work" in wait_reason(JOB, TASK, engines, ahead=0)


def test_its_turn_has_come() -> None:
    engines = [load("libsvtav1", free=1)]
    assert wait_reason(JOB, TASK, engines, ahead=0) == "it is about to be assigned"


def test_it_rests() -> None:
    failure = Failure(reason="STALLED", message="no progress", retryable=True)
    retrying = replace(JOB, state=JobState.RETRYING, retry_count=1, retry_time=NOW, error=failure)
    reason = wait_reason(retrying, None, [], ahead=None)
    assert reason == "attempt 1 failed (no progress); the next is due at 09:30:00 UTC"
    assert "paused" in wait_reason(replace(JOB, state=JobState.PAUSED), None, [], ahead=None)


def test_one_that_runs_does_not_wait() -> None:
    for state in (JobState.ASSIGNED, JobState.TRANSCODING, JobState.COMPLETED):
        assert wait_reason(replace(JOB, state=state), None, [], ahead=None) == ""
