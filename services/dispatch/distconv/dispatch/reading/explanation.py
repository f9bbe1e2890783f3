"""Say in plain words why a job waits or why it went where it went, and what each engine is worth.

Pure: what is known comes in as values.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from distconv.core.durations import about, span
from distconv.core.engine import EngineState
from distconv.core.health import Standing
from distconv.core.states import JobState
from distconv.core.task_states import TaskState
from distconv.dispatch.lifecycle.engine_health import health_of
from distconv.dispatch.placement.choice import Hold
from distconv.dispatch.placement.matching import scratch_of
from distconv.dispatch.placement.offer import Offer, estimated, objection
from distconv.dispatch.placement.transfer import decide, facts_of
from distconv.dispatch.store.records import AttemptRecord, EngineRecord, JobRecord, TaskRecord
from distconv.dispatch.wording import clock, count, size

_ON_ENGINE = (JobState.ASSIGNED, JobState.TRANSCODING, JobState.COMPLETING)
_NAMED = 3  # so many engines are named in a sentence, the rest are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """An engine as an explanation sees it.

    `offer` is what placement would see of it; `takes_work` is false while it
    drains, rests after a refusal, or is out of service; `connected` tells whether
    any replica holds a session of it.
    """

    engine: EngineRecord
    offer: Offer
    connected: bool
    takes_work: bool
    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFit:
    """What speaks for or against an engine; `estimate` None: nothing known to go by.

    `runs`: it does the job at this moment, which counts as fitting. `busy`: it
    would fit if it had a free slot.
    """

    engine_id: str
    fits: bool
    reasons: Sequence[str]
    runs: bool = False
    busy: bool = False
    estimate: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A sentence or two on the job, and on each engine."""

    summary: str
    engines: Sequence[EngineFit]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """What is known of a job.

    `attempts` are oldest first; `ahead` counts the tasks before its next one,
    None when they were not counted; `hold` is set while it is held back.
    """

    job: JobRecord
    tasks: Sequence[TaskRecord]
    attempts: Sequence[AttemptRecord] = ()
    ahead: int | None = None
    hold: Hold | None = None

    @property
    def next_task(self) -> TaskRecord | None:
        """Return the task that an engine does now or next; None when all are done."""
        open_tasks = [task for task in self.tasks if not task.state.is_terminal]
        waiting = [task for task in open_tasks if task.state is not TaskState.BLOCKED]
        return next(iter(waiting or open_tasks), None)


def explain(facts: JobFacts, engines: Sequence[EngineFacts], *, now: datetime) -> Explanation:
    """Explain a job."""
    task = facts.next_task
    at = {a.engine_id for a in facts.attempts if a.state.is_live}
    fits = [
        fit(task, engine, now=now, runs=engine.engine.id in at)
        for engine in engines
        if task is not None
    ]
    fits.sort(key=lambda found: (not found.runs, not found.fits, not found.busy))
    return Explanation(summary=_summary(facts, task, engines, now), engines=fits)


def fit(task: TaskRecord, facts: EngineFacts, *, now: datetime, runs: bool = False) -> EngineFit:
    """Tell whether an engine could do a task now, and all that speaks for or against it."""
    never = [] if runs else _obstacles(task, facts, now)
    busy = [] if runs else _busy(task, facts)
    # Why it takes nothing at all says more than that its slots are taken.
    against = never if _away(facts, now) is not None else [*never, *busy]
    reasons, lasts = ["it runs it"] if runs else list(against), None
    if not facts.offer.matching.missing(task.requirement):
        if not runs and not against and (why := objection(task, facts.offer, now)):
            reasons.append(f"a last resort: {why}")
        if task.preferred_engine_id == facts.engine.id:
            reasons.append("preferred among equals: it probed the source")
        found = estimated(task, facts.offer)
        if found.basis.is_measured:
            reasons.append(f"it would take {about(found.duration)} by {found.basis.value}")
            lasts = found.duration
    if not against and not runs and lasts is None:
        reasons.append("it has what is needed and a free slot")
    return EngineFit(
        engine_id=facts.engine.id,
        fits=not against,
        runs=runs,
        busy=bool(busy) and not never,
        reasons=reasons,
        estimate=lasts,
    )


def _obstacles(task: TaskRecord, facts: EngineFacts, now: datetime) -> list[str]:
    lacks = facts.offer.matching.missing(task.requirement)
    found = [f"it lacks {', '.join(lacks)}"] if lacks else []
    if (away := _away(facts, now)) is not None:
        found.append(away)
    return found


def _busy(task: TaskRecord, facts: EngineFacts) -> list[str]:
    if facts.offer.free_slot_count:
        return [_crowded(task, facts)] if _is_crowded(task, facts) else []
    slots = facts.offer.slot_count
    busy = "its slot is busy" if slots == 1 else f"its {slots} slots are busy"
    times = facts.offer.free_times
    return [busy + (f"; one should be free at {clock(min(times))}" if times else "")]


def _is_crowded(task: TaskRecord, facts: EngineFacts) -> bool:
    """Tell whether an engine has a slot free, but not the scratch disk that a file takes."""
    return facts.offer.scratch_free_bytes < scratch_of(task.requirement)


def _crowded(task: TaskRecord, facts: EngineFacts) -> str:
    return (
        f"it needs {size(scratch_of(task.requirement))} of scratch disk, of which "
        f"{size(facts.offer.scratch_free_bytes)} are free there"
    )


def _away(facts: EngineFacts, now: datetime) -> str | None:  # noqa: PLR0911  # one per reason
    """Return why an engine takes nothing at all; None when it does."""
    engine = facts.engine
    if engine.state is EngineState.REVOKED:
        return "it was revoked"
    if not facts.connected:
        return "it is not connected"
    if engine.maintenance:
        return "an operator took it out of service"
    if engine.quarantine_time is not None:
        if health_of(engine).standing(now) is Standing.QUARANTINED:
            return f"it is in quarantine until {clock(engine.quarantine_time)}: " + (
                engine.quarantine_reason
            )
        if not facts.offer.free_slot_count:
            return "it is on probation after a quarantine and has its one attempt"
    if facts.draining:
        return "it is shutting down or drained: it takes nothing new"
    if not facts.takes_work:
        return "it refused or gave back work a moment ago and rests until its next heartbeat"
    return None


def _summary(
    facts: JobFacts, task: TaskRecord | None, engines: Sequence[EngineFacts], now: datetime
) -> str:
    job = facts.job
    if job.state is JobState.PAUSED:
        return "it is paused until it is resumed"
    if job.state is JobState.RETRYING:
        due = clock(job.retry_time) if job.retry_time else "soon"
        why = job.error.message if job.error is not None else "an attempt failed"
        return (
            f"attempt {job.retry_count} failed ({why}); the next is due at {due}, "
            f"{count(max(job.max_retries - job.retry_count + 1, 0), 'attempt')} may still follow"
        )
    if job.state is JobState.PENDING and task is not None:
        return _waiting(facts, task, engines, now)
    if job.state in _ON_ENGINE:
        return _running(facts, engines)
    return _ended(facts, engines)


def _waiting(
    facts: JobFacts, task: TaskRecord, engines: Sequence[EngineFacts], now: datetime
) -> str:
    if task.state is not TaskState.READY:
        return "its next task is not ready yet"
    what = f"its {task.kind.value.lower()} waits"
    if facts.hold is not None:
        return f"{what}: {facts.hold.reason}"
    return f"{what}: {_why(facts, task, engines, now)}{_urgency(facts.job, task)}"


def _why(facts: JobFacts, task: TaskRecord, engines: Sequence[EngineFacts], now: datetime) -> str:
    connected = [e for e in engines if e.connected]
    if not connected:
        return "no engine is connected; start one with 'distconv-engine' or 'dcctl up'"
    able = [e for e in connected if not e.offer.matching.missing(task.requirement)]
    if not able:
        return _lacking(task, connected) + _why_file(facts.job, task)
    working = [e for e in able if _away(e, now) is None]
    if not working:
        reasons = [f"{e.offer.name}: {_away(e, now)}" for e in able[:_NAMED]]
        more = f", and {len(able) - _NAMED} more" if len(able) > _NAMED else ""
        return f"{count(len(able), 'engine')} could do it, but none takes work: " + (
            "; ".join(reasons) + more
        )
    if free := [e for e in working if e.offer.free_slot_count]:
        return _with_free_slots(facts, task, free)
    ahead = "" if facts.ahead is None else _ahead(facts.ahead)
    slots = sum(e.offer.slot_count for e in working)
    times = [time for e in working for time in e.offer.free_times]
    expected = f"; the next should be free at {clock(min(times))}" if times else ""
    busy = "the one slot that" if slots == 1 else f"all {slots} slots that"
    return f"{busy} could do it {'is' if slots == 1 else 'are'} busy{expected}{ahead}"


def _with_free_slots(facts: JobFacts, task: TaskRecord, free: Sequence[EngineFacts]) -> str:
    if all(_is_crowded(task, engine) for engine in free):
        return f"{free[0].offer.name} has a free slot, but {_crowded(task, free[0])}"
    if facts.ahead:
        return f"engines with a free slot do more urgent work first{_ahead(facts.ahead)}"
    return "it is about to be assigned"


def _ahead(number: int) -> str:
    return f"; {count(number, 'task')} ahead of it in line" if number else "; it is next in line"


def _why_file(job: JobRecord, task: TaskRecord) -> str:
    facts = facts_of(job)
    if facts is None or not scratch_of(task.requirement):
        return ""
    why = f". Its source is to be a file on the engine: {decide(facts).reason}"
    if decide(replace(facts, asked=None)).required:
        return why
    return f"{why}; 'dcctl jobs update --transfer streaming' has it streamed instead"


def _lacking(task: TaskRecord, engines: Sequence[EngineFacts]) -> str:
    missing = [set(e.offer.matching.missing(task.requirement)) for e in engines]
    common = sorted(set.intersection(*missing))
    if common:
        return (
            f"{count(len(engines), 'engine')} connected but none has {', '.join(common)}; "
            "connect one that has, or change the profile"
        )
    each = [
        f"{e.offer.name} lacks {', '.join(sorted(lacks))}"
        for e, lacks in zip(engines[:_NAMED], missing, strict=False)
    ]
    more = f", and {len(engines) - _NAMED} more lack something" if len(engines) > _NAMED else ""
    return f"no engine has all that it needs: {'; '.join(each)}{more}"


def _urgency(job: JobRecord, task: TaskRecord) -> str:
    if task.urgency <= job.priority or job.deadline is None:
        return ""
    return (
        f". Its deadline at {job.deadline:%Y-%m-%d %H:%M UTC} has raised it from priority "
        f"{job.priority} to {task.urgency}"
    )


def _running(facts: JobFacts, engines: Sequence[EngineFacts]) -> str:
    live = [a for a in facts.attempts if a.state.is_live]
    if not live:
        return "it is being given to an engine"
    attempt = live[-1]
    until = ""
    if attempt.estimate is not None:
        since = attempt.start_time or attempt.create_time
        until = (
            f" It was expected to take {about(attempt.estimate)}, "
            f"until {clock(since + attempt.estimate)}."
        )
    where = _name(attempt.engine_id, engines)
    return (
        f"it is at {where} since {clock(attempt.create_time)}, chosen as {attempt.decision}.{until}"
    )


_END = {
    JobState.FAILED: "it has failed",
    JobState.CANCELLED: "it was cancelled",
    JobState.COMPLETED: "it was completed",
}


def _ended(facts: JobFacts, engines: Sequence[EngineFacts]) -> str:
    job = facts.job
    # One task after another is how a job goes; more than one attempt at the same is worth a word.
    number = sum(a.task_id == facts.attempts[-1].task_id for a in facts.attempts)
    after = f" after {count(number, 'attempt')}" if number > 1 else ""
    if job.state is not JobState.COMPLETED or not facts.attempts:
        why = f": {job.error.message}" if job.error is not None else ""
        return f"{_END.get(job.state, 'it has ended')}{after}{why}"
    last = facts.attempts[-1]
    took = ""
    if last.end_time is not None:
        took = f" in {span(last.end_time - (last.start_time or last.create_time))}"
        if last.estimate is not None:
            took += f" (expected: {span(last.estimate)})"
    return (
        f"it was completed at {_name(last.engine_id, engines)}{took}{after}. "
        f"It went there as {last.decision}"
    )


def _name(engine_id: str, engines: Sequence[EngineFacts]) -> str:
    return next((e.offer.name for e in engines if e.engine.id == engine_id), engine_id)
