"""What operators and users do to jobs that there are: hold, resume, retry, delete, assign."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import structlog

from distconv.core.engine import EngineState
from distconv.core.errors import (
    DistconvError,
    FailedPreconditionError,
    NotFoundError,
)
from distconv.core.media import MediaInfo
from distconv.core.names import object_name
from distconv.core.profile import Profile
from distconv.core.requirements import Requirements
from distconv.core.states import JobEvent, JobState
from distconv.core.task_states import TaskEvent, TaskState
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.changes.signals import Topic
from distconv.dispatch.lifecycle.concluding import Concluding
from distconv.dispatch.lifecycle.needs import requirement_of
from distconv.dispatch.lifecycle.plan import unblocked
from distconv.dispatch.lifecycle.stopping import stop_attempts
from distconv.dispatch.objects.access import REMEMBERED
from distconv.dispatch.objects.port import Objects
from distconv.dispatch.reading.finding import Finder
from distconv.dispatch.steering.repeats import remembered, require_same
from distconv.dispatch.steering.validation import check_request_id
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.records import (
    EngineRecord,
    JobRecord,
)
from distconv.rpc.auth import Principal

_log = structlog.get_logger()

_RETRY = "RetryJob"
_WAITING = (JobState.PENDING, JobState.RETRYING, JobState.PAUSED)


class JobControl:
    """Carry out the verbs on jobs, each in one change."""

    def __init__(
        self,
        *,
        changes: Changes,
        concluding: Concluding,
        finder: Finder,
        objects: Objects,
        require_feasible: Callable[[Profile, MediaInfo], None],
        request_retention: timedelta,
    ) -> None:
        """`require_feasible` raises ImpossibleProfileError."""
        self._changes = changes
        self._concluding = concluding
        self._finder = finder
        self._objects = objects
        self._require_feasible = require_feasible
        self._request_retention = request_retention

    # --- hold and go on ------------------------------------------------------------------------

    async def pause(self, who: Principal, name: str) -> JobRecord:
        """Hold a job and end what runs of it; a paused job stays so.

        Raises NotFoundError, FailedPreconditionError (it has ended).
        """
        found = await self._finder.job(who, name)

        async def make(change: Change) -> JobRecord:
            job = await change.job(found.id)
            if job.state is JobState.PAUSED:
                return job
            if job.state.is_terminal:
                raise FailedPreconditionError(
                    f"job {job.id} is {job.state.value} already; there is nothing to pause"
                )
            cause = f"paused by {who.user}"
            paused, commands = await change.move_job(
                job, JobEvent.PAUSE, cause=cause, engine_id="", progress=None
            )
            await stop_attempts(change, paused, commands, cause=cause)
            for task in await change.tx.list_tasks(job.id):
                if not task.state.is_terminal:
                    await change.move_task(task, TaskEvent.HELD)
            return paused

        paused = await self._changes.make(make, keys=_plan_of(found))
        _log.info("job_paused", job=found.id, by=who.user)
        return paused

    async def resume(self, who: Principal, name: str) -> JobRecord:
        """Let a held job go on. Raises NotFoundError, FailedPreconditionError."""
        found = await self._finder.job(who, name)

        async def make(change: Change) -> JobRecord:
            job = await change.job(found.id)
            if job.state is not JobState.PAUSED:
                raise FailedPreconditionError(
                    f"job {job.id} is {job.state.value}, not PAUSED; there is nothing to resume"
                )
            resumed, _ = await change.move_job(job, JobEvent.RESUME, cause=f"resumed by {who.user}")
            await _unblock(change, job.id)
            return resumed

        resumed = await self._changes.make(make, keys=_plan_of(found))
        _log.info("job_resumed", job=found.id, by=who.user)
        return resumed

    async def cancel(self, who: Principal, name: str) -> JobRecord:
        """Cancel a job; a cancelled one stays so. Raises NotFoundError, FailedPreconditionError."""
        found = await self._finder.job(who, name)
        return await self._concluding.cancel(found.id, by=who.user)

    # --- begin again ---------------------------------------------------------------------------

    async def retry(self, who: Principal, name: str, request_id: str) -> JobRecord:
        """Start a failed or cancelled job again, or return what the same request did before.

        Raises NotFoundError (the job, or its source), FailedPreconditionError,
        AlreadyExistsError (the request id was used for something else).
        """
        check_request_id(request_id)
        found = await self._finder.job(who, name)
        if found.state in (JobState.FAILED, JobState.CANCELLED):
            await self._require_source(found)
        source = found.source_object_id

        async def make(change: Change) -> JobRecord:
            job = await change.job(found.id)
            if request_id:
                known = await change.tx.get_request(who.tenant, request_id)
                if known is not None:
                    require_same(known, method=_RETRY, digest=job.id)
                    return job
            self._require_retriable(job)
            if await change.tx.get_garbage(source) is not None:
                raise _gone_source(job)
            retried = await self._start_again(change, job, by=who.user)
            if request_id:
                await change.tx.add_request(
                    remembered(
                        who.tenant,
                        request_id,
                        method=_RETRY,
                        digest=job.id,
                        job_id=job.id,
                        now=change.now,
                        retention=self._request_retention,
                    )
                )
            return retried

        # Its tenant is locked, so that its source is not deleted meanwhile.
        keys = replace(_plan_of(found), tenants=(found.tenant,), garbage=(source,))
        retried = await self._changes.make(make, keys=keys)
        _log.info("job_retried", job=found.id, by=who.user)
        return retried

    async def _require_source(self, job: JobRecord) -> None:
        source = await self._objects.stat(job.tenant, job.source_object_id)
        if source is None:
            raise _gone_source(job)

    def _require_retriable(self, job: JobRecord) -> None:
        if job.state not in (JobState.FAILED, JobState.CANCELLED):
            done = job.state is JobState.COMPLETED
            raise FailedPreconditionError(
                f"job {job.id} is {job.state.value}; only a FAILED or CANCELLED one is retried"
                + (": its output stays; create another job on the same source" if done else "")
            )
        if job.delete_time is not None:
            raise FailedPreconditionError(
                f"job {job.id} was deleted; create another on the same source"
            )
        if job.source_media is not None:
            try:
                self._require_feasible(job.profile, job.source_media)
            except DistconvError as error:
                raise FailedPreconditionError(
                    f"job {job.id} would fail again: {error.message}"
                ) from error

    async def _start_again(self, change: Change, job: JobRecord, *, by: str) -> JobRecord:
        retried, _ = await change.move_job(
            job,
            JobEvent.RETRY,
            cause=f"retried by {by}",
            retry_count=0,
            end_time=None,
            progress=None,
            expire_time=None if job.ttl is None else change.now + job.ttl,
        )
        if retried.expire_time is not None:
            change.effects.topics.add(Topic.EXPIRIES)
        for task in await change.tx.list_tasks(job.id):
            if task.state in (TaskState.FAILED, TaskState.CANCELLED):
                # Its tenant pays anew: what was never served was given back, the rest was used.
                await change.move_task(
                    task, TaskEvent.REVIVED, avoided_engine_ids=(), lost_count=0, cost=0.0
                )
        await _unblock(change, job.id)
        return retried

    # --- delete --------------------------------------------------------------------------------

    async def delete(self, who: Principal, name: str, *, delete_output: bool) -> JobRecord:
        """Delete a job that has ended, and its output too if asked; a deleted one stays so.

        Raises NotFoundError, FailedPreconditionError (it has not ended, or
        another job reads the output).
        """
        found = await self._finder.job(who, name)

        async def make(change: Change) -> JobRecord:
            job = await change.job(found.id)
            if not job.state.is_terminal:
                raise FailedPreconditionError(
                    f"job {job.id} is {job.state.value}; cancel it before you delete it"
                )
            if job.delete_time is None:
                job = await change.touch_job(job, delete_time=change.now)
                await change.tell_job(job, "DELETED", cause=f"{who.user} deleted it")
                change.effects.topics.add(Topic.PURGES)
            if delete_output and job.output is not None:
                await _delete_output(change, job, job.output.object_id)
            return job

        # Its tenant is locked, so that no job is created on the output meanwhile.
        keys = Keys(jobs=(found.id,), tenants=(found.tenant,) if delete_output else ())
        deleted = await self._changes.make(make, keys=keys)
        _log.info("job_deleted", job=found.id, by=who.user, with_output=delete_output)
        return deleted

    # --- assign --------------------------------------------------------------------------------

    async def assign(self, who: Principal, name: str, engine_name: str) -> JobRecord:
        """Have a waiting job done by one engine alone; no name: by any again.

        Raises NotFoundError, FailedPreconditionError (it does not wait, or the
        engine cannot do it).
        """
        found = await self._finder.job(who, name)
        engine = await self._finder.engine(engine_name) if engine_name else None

        async def make(change: Change) -> JobRecord:
            job = await change.job(found.id)
            if job.state not in _WAITING:
                what = "has ended" if job.state.is_terminal else f"is on engine {job.engine_id}"
                raise FailedPreconditionError(
                    f"job {job.id} is {job.state.value}: it {what}; only one that waits is assigned"
                )
            for task in await change.tx.list_tasks(job.id):
                if task.state.is_terminal:
                    continue
                key = requirement_of(job, task.kind, engine_id=engine.id if engine else "")
                if engine is not None:
                    _require_able(engine, key)
                await change.alter_task(task, requirement=key)
            touched = await change.touch_job(job)
            where = f"to engine {engine.id}" if engine is not None else "to any engine"
            await change.tell_job(touched, "PINNED", cause=f"{who.user} gave it {where}")
            return touched

        assigned = await self._changes.make(make, keys=_plan_of(found))
        _log.info("job_pinned", job=found.id, by=who.user, engine=engine.id if engine else "")
        return assigned


def _gone_source(job: JobRecord) -> NotFoundError:
    return NotFoundError(
        f"the source of job {job.id}, {object_name(job.source_object_id)}, is gone; "
        "upload it again and create another job",
        metadata={"field": "job.source.object"},
    )


async def _delete_output(change: Change, job: JobRecord, object_id: str) -> None:
    if await change.tx.is_object_needed(job.tenant, object_id):
        raise FailedPreconditionError(
            f"the output of job {job.id}, {object_name(object_id)}, is the source of a job "
            "that has not ended; cancel that first, or keep the output"
        )
    await change.discard_object(job.tenant, object_id, final_time=change.now + REMEMBERED)


def _plan_of(job: JobRecord) -> Keys:
    return Keys(jobs=(job.id,), with_plan=True)


async def _unblock(change: Change, job_id: str) -> None:
    for task in unblocked(await change.tx.list_tasks(job_id)):
        await change.move_task(task, TaskEvent.UNBLOCKED)


def _require_able(engine: EngineRecord, key: str) -> None:
    if engine.state is EngineState.REVOKED:
        raise FailedPreconditionError(
            f"engine {engine.id} ({engine.display_name}) was revoked; it takes nothing any more"
        )
    lacks = Requirements.of_key(key).missing_from(engine.capabilities, engine_id=engine.id)
    if lacks:
        raise FailedPreconditionError(
            f"engine {engine.id} ({engine.display_name}) cannot do it: it lacks "
            f"{', '.join(lacks)}; choose another"
        )
