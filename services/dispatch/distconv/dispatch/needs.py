"""What the tasks of a job need of an engine. Pure."""

from distconv.core.requirements import Requirements
from distconv.core.task_states import TaskKind
from distconv.dispatch.store.records import JobRecord


def requirement_of(job: JobRecord, kind: TaskKind, *, engine_id: str = "") -> str:
    """Return the key of the requirement set of a task of a job; `engine_id`: only that engine."""
    if kind is TaskKind.PROBE:
        return Requirements(tags=tuple(sorted(job.engine_tags)), engine=engine_id).key
    return Requirements.of_profile(job.profile, tags=job.engine_tags, engine=engine_id).key
