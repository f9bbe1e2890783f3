"""One change: the records moved in one transaction by the tables of the core, and its effects."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from distconv.core import attempt_states, task_states
from distconv.core.attempt_states import AttemptEvent, AttemptState
from distconv.core.errors import NotFoundError
from distconv.core.ids import MakeId, new_id
from distconv.core.states import Command, JobEvent, JobState, apply
from distconv.core.task_states import TaskEvent, TaskState
from distconv.dispatch.changes.domain_events import CREATED, engine_event, job_event
from distconv.dispatch.changes.ready_queue import QueuePolicy, ReadyQueue
from distconv.dispatch.changes.signals import Effects, Stop, Topic
from distconv.dispatch.store.records import (
    AttemptRecord,
    EngineRecord,
    GarbageRecord,
    JobRecord,
    OutboxRecord,
    TaskRecord,
    TransitionRecord,
)
from distconv.dispatch.store.transaction import Transaction

# States in which `error` is shown; in others the attempts' history holds it.
_SHOW_ERROR = (JobState.FAILED, JobState.RETRYING)


@dataclass(slots=True, kw_only=True)
class Change:
    """Move jobs, tasks and attempts within one transaction, and note the effects."""

    tx: Transaction
    now: datetime
    media_ttl: timedelta
    make_id: MakeId = new_id
    queue_policy: QueuePolicy = field(default_factory=QueuePolicy)
    effects: Effects = field(default_factory=Effects)
    queue: ReadyQueue = field(init=False)

    def __post_init__(self) -> None:
        self.queue = ReadyQueue(self.tx, self.queue_policy, self.now)

    def new_id(self) -> str:
        """Make an id for this instant."""
        return self.make_id(self.now)

    async def job(self, job_id: str) -> JobRecord:
        """Return a job that must be there."""
        job = await self.tx.get_job(job_id)
        if job is None:
            raise NotFoundError(f"there is no job {job_id}")
        return job

    async def task(self, task_id: str) -> TaskRecord:
        """Return a task that must be there."""
        task = await self.tx.get_task(task_id)
        if task is None:
            raise NotFoundError(f"there is no task {task_id}")
        return task

    async def add_job(self, job: JobRecord, tasks: Sequence[TaskRecord]) -> None:
        """Insert a job with its tasks."""
        await self.tx.add_job(job)
        for task in tasks:
            ready = task.state is TaskState.READY
            await self.tx.add_task(await self.queue.enter(task, job) if ready else task)
        await self._record(job, None, CREATED, cause=f"created by {job.creator}")
        self.effects.topics.add(Topic.WORK)
        if job.expire_time is not None:
            self.effects.topics.add(Topic.EXPIRIES)
        if job.deadline is not None:
            self.effects.topics.add(Topic.PROMOTIONS)

    async def move_job(
        self,
        job: JobRecord,
        event: JobEvent,
        *,
        cause: str,
        attempt_id: str = "",
        **fields: Any,
    ) -> tuple[JobRecord, tuple[Command, ...]]:
        """Move a job by the table, with other fields, and write its history and event.

        `attempt_id` is the attempt that the move came with. Returns the job as it is
        now and the commands to carry out in this same change.
        """
        step = apply(job.state, event)
        values: dict[str, Any] = {"retry_time": None, **fields}
        if step.state not in _SHOW_ERROR:
            values["error"] = None
        if step.state.is_terminal:
            # What has ended does not expire: whoever looks for what is due need not pass it over.
            values |= {"end_time": self.now, "engine_id": "", "expire_time": None}
            self.effects.ended_jobs.add(job.id)
        moved = replace(
            job, state=step.state, version=job.version + 1, update_time=self.now, **values
        )
        await self.tx.save_job(moved)
        await self._record(moved, job.state, event.name, cause=cause, attempt_id=attempt_id)
        return moved, step.commands

    async def put_engine(
        self, engine: EngineRecord, known: EngineRecord | None, *, cause: str
    ) -> None:
        """Insert or replace an engine that was `known` so, and tell of its state if that moved."""
        await self.tx.put_engine(engine)
        came_from = known.state if known is not None else None
        was_in_maintenance = known is not None and known.maintenance
        if engine.state is not came_from or engine.maintenance != was_in_maintenance:
            await self._tell(
                engine_event(engine, came_from, event_id=self.new_id(), time=self.now, cause=cause)
            )

    async def tell_job(self, job: JobRecord, event: str, *, cause: str) -> None:
        """Tell of a change of a job that was no move (`JobUpdated`)."""
        await self._tell(
            job_event(job, job.state, event, event_id=self.new_id(), time=self.now, cause=cause)
        )

    async def touch_job(self, job: JobRecord, **fields: Any) -> JobRecord:
        """Change fields of a job without moving it."""
        touched = replace(job, version=job.version + 1, update_time=self.now, **fields)
        await self.tx.save_job(touched)
        self.effects.changed_jobs.add(job.id)
        return touched

    async def move_task(self, task: TaskRecord, event: TaskEvent, **fields: Any) -> TaskRecord:
        """Move a task by the table, with other fields."""
        state = task_states.apply(task.state, event)
        values: dict[str, Any] = {"retry_time": None, "promote_time": None, **fields}
        moved = replace(task, state=state, update_time=self.now, **values)
        if state is TaskState.READY:
            moved = await self.queue.enter(moved, await self.job(task.job_id))
            self.effects.topics.add(Topic.WORK)
            if moved.promote_time is not None:
                self.effects.topics.add(Topic.PROMOTIONS)
        elif state in (TaskState.CANCELLED, TaskState.FAILED):
            await self.queue.leave_unserved(task)
        await self.tx.save_task(moved)
        return moved

    async def reprioritise(
        self, task: TaskRecord, *, priority: int, deadline: datetime | None
    ) -> TaskRecord:
        """Give a task another priority and deadline, without moving it."""
        moved = await self.queue.reprioritise(
            replace(task, update_time=self.now), priority=priority, deadline=deadline
        )
        await self.tx.save_task(moved)
        self.effects.topics |= {Topic.WORK, Topic.PROMOTIONS}
        return moved

    async def rework(self, task: TaskRecord, job: JobRecord) -> TaskRecord:
        """Work out anew how much work a task is whose job has other parameters."""
        moved = await self.queue.reworked(task, job)
        if moved is task:
            return task
        self.effects.topics.add(Topic.PROMOTIONS)
        return await self.alter_task(moved)

    async def alter_task(self, task: TaskRecord, **fields: Any) -> TaskRecord:
        """Change fields of a task without moving it."""
        altered = replace(task, update_time=self.now, **fields)
        await self.tx.save_task(altered)
        self.effects.topics.add(Topic.WORK)
        return altered

    async def move_attempt(
        self, attempt: AttemptRecord, event: AttemptEvent, **fields: Any
    ) -> AttemptRecord:
        """Move an attempt by the table, with other fields; an end takes its lease away."""
        state = attempt_states.apply(attempt.state, event)
        values: dict[str, Any] = dict(fields)
        if state is AttemptState.RUNNING:
            values["start_time"] = self.now
        if not state.is_live:
            values |= {"end_time": self.now, "lease_expire_time": None}
        moved = replace(attempt, state=state, **values)
        await self.tx.save_attempt(moved)
        if not state.is_live:
            self.effects.ended_attempts.append(moved)
            self.effects.topics |= {Topic.WORK, Topic.IDLENESS}
        return moved

    def steer(self, engine: EngineRecord) -> None:
        """Have an engine's session follow what was decided of it, whichever replica holds it."""
        self.effects.changed_engines.add(engine.id)
        self.effects.topics.add(Topic.WORK)

    def stop(self, attempt: AttemptRecord, *, reason: str) -> None:
        """Have the engine end an attempt."""
        self.effects.stops.append(Stop(attempt=attempt, reason=reason))

    async def discard_output(self, attempt: AttemptRecord, *, may_still_write: bool) -> None:
        """Leave an attempt's object to the collector.

        An engine that `may_still_write` may make the object anew until its
        token expires, so it is deleted once more then. The token was made when
        the attempt was, which lies ahead of a clock that was put back since.
        """
        if not attempt.object_id:
            return
        latest = max(self.now, attempt.create_time)
        final = latest + self.media_ttl if may_still_write else self.now
        await self.discard_object(attempt.tenant, attempt.object_id, final_time=final)

    async def discard_object(
        self,
        tenant: str,
        object_id: str,
        *,
        final_time: datetime,
        due_time: datetime | None = None,
    ) -> None:
        """Leave an object to the collector: for now or `due_time`, and for good at `final_time`.

        What was to be deleted earlier still is.
        """
        due = due_time or self.now
        known = await self.tx.get_garbage(object_id)
        if known is not None:
            due = min(due, known.due_time)
        await self.tx.put_garbage(
            GarbageRecord(object_id=object_id, tenant=tenant, due_time=due, final_time=final_time)
        )
        self.effects.topics.add(Topic.GARBAGE)

    async def _record(
        self,
        job: JobRecord,
        came_from: JobState | None,
        event: str,
        *,
        cause: str,
        attempt_id: str = "",
    ) -> None:
        await self.tx.add_transition(
            TransitionRecord(
                tenant=job.tenant,
                job_id=job.id,
                from_state=came_from,
                event=event,
                to_state=job.state,
                cause=cause,
                time=self.now,
                attempt_id=attempt_id,
            )
        )
        attempt = await self.tx.get_attempt(attempt_id) if attempt_id else None
        await self._tell(
            job_event(
                job,
                came_from,
                event,
                event_id=self.new_id(),
                time=self.now,
                cause=cause,
                task_id=attempt.task_id if attempt is not None else "",
                attempt_id=attempt_id,
            )
        )
        self.effects.changed_jobs.add(job.id)

    async def _tell(self, event: OutboxRecord) -> None:
        await self.tx.add_event(event)
        self.effects.topics.add(Topic.OUTBOX)
