"""What the tasks of a job need of an engine. Pure."""

from functools import lru_cache

from distconv.core.profile import Profile
from distconv.core.requirements import Requirements
from distconv.core.task_states import TaskKind
from distconv.dispatch.store.records import JobRecord


def requirement_of(job: JobRecord, kind: TaskKind, *, engine_id: str = "") -> str:
    """Return the key of the requirement set of a task of a job; `engine_id`: only that engine."""
    return _key(None if kind is TaskKind.PROBE else job.profile, job.engine_tags, engine_id)


# Few distinct ones exist, and jobs come by the thousand.
@lru_cache(maxsize=1024)
def _key(profile: Profile | None, tags: tuple[str, ...], engine_id: str) -> str:
    if profile is None:
        return Requirements(tags=tuple(sorted(tags)), engine=engine_id).key
    return Requirements.of_profile(profile, tags=tags, engine=engine_id).key
