"""Say in a sentence why a job waits. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from distconv.core.states import JobState
from distconv.dispatch.placement.matching import Matching
from distconv.dispatch.store.records import JobRecord, TaskRecord

ABOUT_TO_BE_ASSIGNED = "it is about to be assigned"


class EngineLoad(NamedTuple):
    """A connected engine as the reason sees it: a light value, made of a thousand at a time."""

    engine_id: str
    matching: Matching
    slot_count: int
    free_slot_count: int
    takes_work: bool

    def can_do(self, key: str) -> bool:
        """Tell whether it meets a requirement set."""
        return not self.matching.missing(key)

    def can_begin(self, key: str) -> bool:
        """Tell whether it would be given work of a requirement set now."""
        return self.takes_work and self.free_slot_count > 0 and self.can_do(key)


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
    missing = [engine.matching.missing(task.requirement) for engine in engines]
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
        return ABOUT_TO_BE_ASSIGNED
    slots = sum(engine.slot_count for engine in working)
    busy = "its slot is busy" if slots == 1 else f"all {slots} slots are busy"
    if ahead is None:
        return busy
    if not ahead:
        return f"{busy}; it is next"
    return f"{busy}; {_count(ahead, 'job')} ahead"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
