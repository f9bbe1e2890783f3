"""Plan a job into tasks. Pure; the graph has two nodes today and the callers mind any number."""

from collections.abc import Callable, Iterable, Sequence

from distconv.core.requirements import Requirements
from distconv.core.task_states import TaskKind, TaskState
from distconv.dispatch.store.records import JobRecord, TaskRecord


def plan(job: JobRecord, *, new_id: Callable[[], str]) -> tuple[TaskRecord, ...]:
    """Return the tasks of a new job in order: a probe, and the transcode that waits for it.

    When the job knows already what is in its source, the transcode alone.
    """
    if job.source_media is not None:
        return (_transcode(job, new_id(), ordinal=0),)
    tags = tuple(sorted(job.engine_tags))
    probe = _task(job, new_id(), 0, TaskKind.PROBE, Requirements(tags=tags))
    return probe, _transcode(job, new_id(), ordinal=1, after=(probe.id,))


def _transcode(
    job: JobRecord, task_id: str, *, ordinal: int, after: tuple[str, ...] = ()
) -> TaskRecord:
    required = Requirements.of_profile(job.profile, tags=tuple(sorted(job.engine_tags)))
    return _task(job, task_id, ordinal, TaskKind.TRANSCODE, required, after=after)


def _task(
    job: JobRecord,
    task_id: str,
    ordinal: int,
    kind: TaskKind,
    required: Requirements,
    *,
    after: tuple[str, ...] = (),
) -> TaskRecord:
    return TaskRecord(
        id=task_id,
        tenant=job.tenant,
        job_id=job.id,
        ordinal=ordinal,
        kind=kind,
        state=TaskState.BLOCKED if after else TaskState.READY,
        depends_on=after,
        requirement=required.key,
        priority=job.priority,
        urgency=job.priority,
        deadline=job.deadline,
        create_time=job.create_time,
        update_time=job.create_time,
    )


def unblocked(tasks: Iterable[TaskRecord]) -> Sequence[TaskRecord]:
    """Return the BLOCKED tasks whose dependencies have all succeeded."""
    known = list(tasks)
    done = {task.id for task in known if task.state is TaskState.SUCCEEDED}
    return [
        task
        for task in known
        if task.state is TaskState.BLOCKED and done.issuperset(task.depends_on)
    ]
