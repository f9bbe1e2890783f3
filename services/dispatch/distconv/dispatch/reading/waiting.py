"""Say in a sentence why a job waits. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from distconv.core.engine import EngineCapabilities
from distconv.core.requirements import Requirements
from distconv.core.states import JobState
from distconv.dispatch.store.records import JobRecord, TaskRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLoad:
    """A connected engine as the reason sees it."""

    engine_id: str
    capabilities: EngineCapabilities
    slot_count: int
    free_slot_count: int
    takes_work: bool

    def can_do(self, key: str) -> bool:
        """Tell whether it meets a requirement set."""
        required = Requirements.of_key(key)
        return not required.missing_from(self.capabilities, engine_id=self.engine_id)


def wait_reason(
    job: JobRecord, task: TaskRecord | None, engines: Sequence[EngineLoad], *, ahead: int | None
) -> str:
    """Return why `job` waits, or nothing when it does not.

    `task` is its next READY task; `ahead` counts the tasks that come before
    it, None when they were not counted.
    """
    if job.state is JobState.PAUSED:
        return "it is paused until it is resumed"
    if job.state is JobState.RETRYING:
        due = job.retry_time.strftime("%H:%M:%S UTC") if job.retry_time else "soon"
        why = job.error.message if job.error is not None else "an attempt failed"
        return f"attempt {job.retry_count} failed ({why}); the next is due at {due}"
    if job.state is not JobState.PENDING or task is None:
        return ""
    if not engines:
        return "no engine is connected; start one with 'distconv-engine' or 'dcctl up'"
    return _of_engines(task, engines, ahead)


def _of_engines(task: TaskRecord, engines: Sequence[EngineLoad], ahead: int | None) -> str:
    required = Requirements.of_key(task.requirement)
    missing = [
        required.missing_from(engine.capabilities, engine_id=engine.engine_id) for engine in engines
    ]
    able = [engine for engine, lacks in zip(engines, missing, strict=True) if not lacks]
    if not able:
        # What every engine lacks tells most; where they lack different things, the shortest list.
        common = [name for name in missing[0] if all(name in lacks for lacks in missing)]
        _, fewest = min((len(lacks), lacks) for lacks in missing)
        named = ", ".join(common or fewest)
        return f"{_count(len(engines), 'engine')} connected but none has {named}"
    working = [engine for engine in able if engine.takes_work]
    if not working:
        return (
            f"{_count(len(able), 'engine')} could do it, but "
            f"{'it takes' if len(able) == 1 else 'all take'} no new work now"
        )
    if any(engine.free_slot_count for engine in working) and not ahead:
        return "it is about to be assigned"
    slots = sum(engine.slot_count for engine in working)
    busy = "its slot is busy" if slots == 1 else f"all {slots} slots are busy"
    if ahead is None:
        return busy
    return f"{busy}; {_count(ahead, 'job')} ahead"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
