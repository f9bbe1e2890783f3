"""Plan a job into tasks. Pure; the graph has two nodes today and the callers mind any number."""

from collections.abc import Callable, Iterable, Sequence

from distconv.core.requirements import Requirements
from distconv.core.task_states import TaskKind, TaskState
from distconv.dispatch.store.records import JobRecord, TaskRecord


def plan(job: JobRecord, *, new_id: Callable[[], str]) -> tuple[TaskRecord, ...]:
    """Return the tasks of a new job in order: a probe, and the transcode that waits for it."""
    probe = TaskRecord(
        id=new_id(),
        tenant=job.tenant,
        job_id=job.id,
        ordinal=0,
        kind=TaskKind.PROBE,
        state=TaskState.READY,
        requirement=Requirements().key,
        priority=job.priority,
        urgency=job.priority,
        create_time=job.create_time,
        update_time=job.create_time,
    )
    transcode = TaskRecord(
        id=new_id(),
        tenant=job.tenant,
        job_id=job.id,
        ordinal=1,
        kind=TaskKind.TRANSCODE,
        state=TaskState.BLOCKED,
        depends_on=(probe.id,),
        requirement=Requirements.of_profile(job.profile).key,
        priority=job.priority,
        urgency=job.priority,
        create_time=job.create_time,
        update_time=job.create_time,
    )
    return probe, transcode


def unblocked(tasks: Iterable[TaskRecord]) -> Sequence[TaskRecord]:
    """Return the BLOCKED tasks whose dependencies have all succeeded."""
    known = list(tasks)
    done = {task.id for task in known if task.state is TaskState.SUCCEEDED}
    return [
        task
        for task in known
        if task.state is TaskState.BLOCKED and done.issuperset(task.depends_on)
    ]
