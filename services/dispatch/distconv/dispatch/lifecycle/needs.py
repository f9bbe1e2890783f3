"""What the tasks of a job need of an engine. Pure."""

from functools import lru_cache

from distconv.core.profile import Profile
from distconv.core.requirements import Requirements
from distconv.core.task_states import TaskKind
from distconv.core.transfer import scratch_needed, scratch_step
from distconv.dispatch.placement.transfer import decide, facts_of
from distconv.dispatch.store.records import JobRecord


def requirement_of(job: JobRecord, kind: TaskKind, *, engine_id: str = "") -> str:
    """Return the key of the requirement set of a task of a job; `engine_id`: only that engine."""
    if kind is TaskKind.PROBE:
        return _key(None, job.engine_tags, engine_id, 0)
    return _key(job.profile, job.engine_tags, engine_id, _scratch_bytes(job))


def _scratch_bytes(job: JobRecord) -> int:
    """Return how much scratch disk a job takes that goes by file or not at all, else 0."""
    facts = facts_of(job)
    if facts is None or not decide(facts).required:
        return 0
    return scratch_step(scratch_needed(job.source_size_bytes))


# Few distinct ones exist, and jobs come by the thousand.
@lru_cache(maxsize=1024)
def _key(profile: Profile | None, tags: tuple[str, ...], engine_id: str, scratch_bytes: int) -> str:
    if profile is None:
        return Requirements(tags=tuple(sorted(tags)), engine=engine_id).key
    return Requirements.of_profile(
        profile, tags=tags, engine=engine_id, scratch_bytes=scratch_bytes
    ).key
