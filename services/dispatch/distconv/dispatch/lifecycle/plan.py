"""Plan a job into tasks. Pure; the graph has two nodes today and the callers mind any number."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from distconv.core.errors import MediaError
from distconv.core.media import MediaInfo
from distconv.core.task_states import TaskKind, TaskState
from distconv.core.work import job_size
from distconv.dispatch.lifecycle.feasibility import require_feasible
from distconv.dispatch.lifecycle.needs import requirement_of
from distconv.dispatch.store.records import JobRecord, TaskRecord


def plan(job: JobRecord, *, new_id: Callable[[], str]) -> tuple[TaskRecord, ...]:
    """Return the tasks of a new job in order: a probe, and the transcode that waits for it.

    When the job knows already what is in its source, the transcode alone.
    """
    if job.source_media is not None:
        return (_transcode(job, new_id(), ordinal=0),)
    probe = _task(job, new_id(), 0, TaskKind.PROBE)
    return probe, _transcode(job, new_id(), ordinal=1, after=(probe.id,))


def with_media(job: JobRecord, media: MediaInfo) -> JobRecord:
    """Return a new job that takes over what an earlier one found in the same source.

    When the profile cannot be applied to it, the job is left to be probed: it
    fails as any other does, and says why.
    """
    try:
        require_feasible(job.profile, media)
    except MediaError:
        return job
    size = job_size(job.source_size_bytes, media)
    return replace(job, source_media=media, duration=size.duration, pixel_count=size.pixel_count)


def _transcode(
    job: JobRecord, task_id: str, *, ordinal: int, after: tuple[str, ...] = ()
) -> TaskRecord:
    return _task(job, task_id, ordinal, TaskKind.TRANSCODE, after=after)


def _task(
    job: JobRecord,
    task_id: str,
    ordinal: int,
    kind: TaskKind,
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
        requirement=requirement_of(job, kind),
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
