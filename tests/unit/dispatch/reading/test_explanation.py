"""Explanations name what is missing, who is busy, what is ahead, and what was decided."""

from dataclasses import replace
from datetime import timedelta

from tests.unit.dispatch.placement.test_choice import NOW, offer
from tests.unit.dispatch.reading.test_waiting import JOB, TASK

from distconv.core.attempt_states import AttemptState
from distconv.core.engine import EngineState
from distconv.core.states import JobState
from distconv.core.task_states import TaskState
from distconv.dispatch.placement.choice import Hold
from distconv.dispatch.reading.explanation import EngineFacts, Explanation, JobFacts, explain
from distconv.dispatch.store.records import AttemptRecord, EngineRecord

AV1 = "libsvtav1"


def engine(name: str, *encoders: str, free: int = 0, **changed: object) -> EngineFacts:
    offered = offer(name, *encoders, free=free, free_in_s=None if free else 90)
    record = EngineRecord(
        id=name,
        tenant="local",
        display_name=offered.display_name,
        state=EngineState.ONLINE,
        version="1",
        capabilities=offered.matching._capabilities,
        slot_count=1,
        create_time=NOW,
    )
    facts = EngineFacts(engine=record, offer=offered, connected=True, takes_work=True)
    own = {k: v for k, v in changed.items() if hasattr(facts, k)}
    of_engine = {k: v for k, v in changed.items() if k not in own}
    return replace(facts, engine=replace(record, **of_engine), **own)  # type: ignore[arg-type]


def said(*engines: EngineFacts, **facts: object) -> Explanation:
    known = JobFacts(job=JOB, tasks=[TASK])
    return explain(replace(known, **facts), engines, now=NOW)  # type: ignore[arg-type]


def test_what_every_engine_lacks_is_named() -> None:
    found = said(engine("a"), engine("b"))
    assert found.summary == (
        "its transcode waits: 2 engines connected but none has libsvtav1; "
        "connect one that has, or change the profile"
    )
    assert not found.engines[0].fits
    assert "it lacks libsvtav1" in found.engines[0].reasons


def test_busy_engines_say_when_they_are_free_and_what_is_ahead() -> None:
    found = said(engine("a", AV1), ahead=7)
    assert found.summary == (
        "its transcode waits: the one slot that could do it is busy; "
        "the next should be free at 00:01:30 UTC; 7 tasks ahead of it in line"
    )
    assert found.engines[0].reasons[0] == "its slot is busy; one should be free at 00:01:30 UTC"
    assert found.engines[0].busy
    assert not said(engine("a")).engines[0].busy


def test_engines_out_of_service_say_why() -> None:
    found = said(
        engine("a", AV1, free=1, maintenance=True),
        engine(
            "b",
            AV1,
            free=1,
            quarantine_time=NOW + timedelta(minutes=5),
            quarantine_reason="it failed 3 tasks that others completed",
        ),
        engine("c", AV1, free=1, takes_work=False),
        engine("d", AV1, free=1, draining=True),
    )
    assert "4 engines could do it, but none takes work" in found.summary
    assert "box a (a): an operator took it out of service" in found.summary
    assert "in quarantine until 00:05:00 UTC: it failed 3 tasks" in found.summary
    assert "and 1 more" in found.summary
    assert said(engine("a", AV1, connected=False)).summary.endswith("or 'dcctl up'")


def test_a_hold_is_told_as_it_was_decided() -> None:
    hold = Hold(task_id="t", engine_id="a", until=NOW, reason="held back for box a (a), which …")
    found = said(engine("b", AV1, free=1), hold=hold)
    assert found.summary == "its transcode waits: held back for box a (a), which …"


def test_the_next_in_line_with_a_free_engine_is_about_to_go() -> None:
    found = said(engine("a", AV1, free=1), ahead=0)
    assert found.summary.endswith("it is about to be assigned")
    assert found.engines[0].fits
    assert found.engines[0].reasons == ["it has what is needed and a free slot"]


def test_the_next_in_line_has_nobody_ahead() -> None:
    found = said(engine("a", AV1), ahead=0)
    assert found.summary.endswith("; it is next in line")


def test_a_deadline_that_has_raised_it_is_named() -> None:
    job = replace(JOB, deadline=NOW + timedelta(hours=1))
    task = replace(TASK, urgency=150)
    found = said(engine("a", AV1), job=job, tasks=[task], ahead=0)
    assert "has raised it from priority 0 to 150" in found.summary


def test_running_and_ended_jobs_tell_the_decision() -> None:
    attempt = AttemptRecord(
        id="x",
        tenant="local",
        job_id="j",
        task_id="t",
        engine_id="a",
        state=AttemptState.RUNNING,
        fencing_token=1,
        lease_expire_time=NOW,
        create_time=NOW,
        decision="box a (a): the least busy",
        estimate=timedelta(seconds=60),
    )
    leased = replace(TASK, state=TaskState.LEASED)
    running = said(
        engine("a", AV1),
        job=replace(JOB, state=JobState.TRANSCODING),
        tasks=[leased],
        attempts=[attempt],
    )
    assert "it is at box a (a) since 00:00:00 UTC, chosen as box a (a): the least busy." in (
        running.summary
    )
    assert "about 60 s, until 00:01:00 UTC" in running.summary
    assert running.engines[0].runs
    assert running.engines[0].fits
    assert running.engines[0].reasons[0] == "it runs it"
    ended = replace(attempt, state=AttemptState.SUCCEEDED, end_time=NOW + timedelta(seconds=50))
    done = said(
        engine("a", AV1),
        job=replace(JOB, state=JobState.COMPLETED),
        tasks=[replace(TASK, state=TaskState.SUCCEEDED)],
        attempts=[ended],
    )
    assert done.summary.startswith(
        "it was completed at box a (a) in 50 s (expected: 60 s). It went"
    )
    assert not done.engines
    probe, lost = replace(ended, id="p", task_id="p"), replace(ended, id="l")
    again = said(
        engine("a", AV1),
        job=replace(JOB, state=JobState.COMPLETED),
        tasks=[],
        attempts=[probe, lost, ended],
    )
    assert "(expected: 60 s) after 2 attempts. It went" in again.summary


def test_paused_and_retrying_jobs_say_so() -> None:
    assert "paused" in said(job=replace(JOB, state=JobState.PAUSED)).summary
    retrying = replace(JOB, state=JobState.RETRYING, retry_count=1, retry_time=NOW)
    assert "2 attempts may still follow" in said(job=retrying).summary
