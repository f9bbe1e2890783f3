"""End attempts by what their engines tell, and jobs by what becomes of their attempts."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import structlog

from distconv.core.attempt import Cancelled, Outcome, Probed, Returned, Transcoded
from distconv.core.attempt_states import AttemptEvent, AttemptState
from distconv.core.errors import DistconvError, FailedPreconditionError, VerificationError
from distconv.core.failure import Failure
from distconv.core.media import MediaInfo
from distconv.core.profile import Profile
from distconv.core.progress import JobProgress
from distconv.core.requirements import Requirements
from distconv.core.states import Command, JobEvent, JobState
from distconv.core.task_states import TaskEvent, TaskKind, TaskState
from distconv.core.work import job_size
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.lifecycle.engine_health import EngineHealth
from distconv.dispatch.lifecycle.failing import Failing
from distconv.dispatch.lifecycle.leasing import release
from distconv.dispatch.lifecycle.needs import requirement_of
from distconv.dispatch.lifecycle.observing import observe
from distconv.dispatch.lifecycle.plan import unblocked
from distconv.dispatch.lifecycle.stopping import stop_attempts
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.records import AttemptRecord, JobOutput, JobRecord, TaskRecord

_log = structlog.get_logger()

# What an outcome says of an attempt that is over: the same result sent again is no news.
_SAME_END: dict[type[object], AttemptState] = {
    Probed: AttemptState.SUCCEEDED,
    Transcoded: AttemptState.SUCCEEDED,
    Failure: AttemptState.FAILED,
    Returned: AttemptState.RETURNED,
    Cancelled: AttemptState.CANCELLED,
}


def is_repeated(attempt: AttemptRecord, outcome: Outcome) -> bool:
    """Tell whether an attempt that is over ended by this very outcome."""
    if isinstance(outcome, Transcoded) and outcome.object_id != attempt.object_id:
        return False
    return _SAME_END[type(outcome)] is attempt.state


class Concluding:
    """Take results under the present fencing token, and end jobs."""

    def __init__(
        self,
        changes: Changes,
        *,
        failing: Failing,
        health: EngineHealth,
        require_feasible: Callable[[Profile, MediaInfo], None],
        build_of: Callable[[str], str],
    ) -> None:
        """`require_feasible` raises ImpossibleProfileError for a profile and a source.

        `build_of` returns the build of a connected engine's tool, empty when unknown.
        """
        self._changes = changes
        self._failing = failing
        self._health = health
        self._require_feasible = require_feasible
        self._build_of = build_of

    async def conclude(
        self,
        attempt_id: str,
        *,
        engine_id: str,
        fencing_token: int,
        outcome: Outcome,
        progress: JobProgress | None = None,
    ) -> bool:
        """End an attempt; False when it does not hold its lease any more and is refused.

        A transcode's output must have been verified: this publishes it. `progress`
        is what was last heard of it.
        """

        async def make(change: Change) -> tuple[bool, AttemptRecord | None]:
            attempt = await change.tx.get_attempt(attempt_id)
            if (
                attempt is None
                or attempt.engine_id != engine_id
                or attempt.fencing_token != fencing_token
            ):
                return False, None
            if not attempt.state.is_live:
                if attempt.state is not AttemptState.SUCCEEDED:
                    # It may have written since the object was deleted. That it has let go now is
                    # its word alone, and it came late: the last deletion stays where it was.
                    await change.discard_output(attempt, may_still_write=True)
                return is_repeated(attempt, outcome), None
            await self._end(change, attempt, outcome, progress)
            return True, attempt

        keys = Keys(attempts=(attempt_id,), with_plan=not isinstance(outcome, Returned))
        accepted, ended = await self._changes.make(make, keys=keys)
        if ended is None:
            return accepted
        _log.info(
            "attempt_ended",
            job=ended.job_id,
            attempt=ended.id,
            engine=engine_id,
            outcome=type(outcome).__name__.lower(),
        )
        return True

    async def _end(
        self,
        change: Change,
        attempt: AttemptRecord,
        outcome: Outcome,
        progress: JobProgress | None,
    ) -> None:
        match outcome:
            case Probed():
                await self._probed(change, attempt, outcome)
            case Transcoded():
                await self._transcoded(change, attempt, outcome, progress)
            case Failure():
                await self._failing.fail(change, attempt, outcome)
            case Returned():
                await release(
                    change,
                    attempt,
                    AttemptEvent.GIVEN_BACK,
                    cause=f"engine {attempt.engine_id} gave it back: {outcome.reason}",
                )
            case Cancelled():
                # Nobody here asked for it: the engine's user did.
                await release(
                    change,
                    attempt,
                    AttemptEvent.GIVEN_BACK,
                    cause=f"it was stopped at engine {attempt.engine_id}",
                )

    async def _probed(self, change: Change, attempt: AttemptRecord, outcome: Probed) -> None:
        task = await change.task(attempt.task_id)
        if task.kind is not TaskKind.PROBE:
            await self._failing.fail(change, attempt, _another_result(task, "a probe"))
            return
        await self._succeed(change, task, attempt)
        job = await change.job(attempt.job_id)
        size = job_size(job.source_size_bytes, outcome.media)
        job, commands = await change.move_job(
            job,
            JobEvent.TASK_DONE,
            cause=f"engine {attempt.engine_id} probed the source",
            attempt_id=attempt.id,
            source_media=outcome.media,
            duration=size.duration,
            pixel_count=size.pixel_count,
            engine_id="",
        )
        try:
            self._require_feasible(job.profile, outcome.media)
        except DistconvError as error:
            await self._failing.give_up(change, job, Failure.of(error), cause=error.message)
            return
        if Command.ENQUEUE in commands:
            for next_task in unblocked(await change.tx.list_tasks(job.id)):
                await change.move_task(
                    next_task,
                    TaskEvent.UNBLOCKED,
                    preferred_engine_id=attempt.engine_id,
                    requirement=requirement_of(
                        job,
                        next_task.kind,
                        engine_id=Requirements.of_key(next_task.requirement).engine,
                    ),
                )

    async def _transcoded(
        self,
        change: Change,
        attempt: AttemptRecord,
        outcome: Transcoded,
        progress: JobProgress | None,
    ) -> None:
        task = await change.task(attempt.task_id)
        if task.kind is not TaskKind.TRANSCODE:
            await self._failing.fail(change, attempt, _another_result(task, "a transcode"))
            return
        await self._succeed(change, task, attempt, source_wait=outcome.source_wait)
        output = JobOutput(
            object_id=outcome.object_id,
            size_bytes=outcome.size_bytes,
            sha256=outcome.sha256,
            media=outcome.media,
            census=outcome.output_census,
            notes=outcome.notes,
        )
        job = await change.job(attempt.job_id)
        if job.state is not JobState.COMPLETING:
            # It was verified at once, without a commit between: the history has it all the same.
            job, _ = await change.move_job(
                job,
                JobEvent.ENCODING_ENDED,
                cause=f"reported by engine {attempt.engine_id}",
                attempt_id=attempt.id,
                progress=progress,
            )
        await change.move_job(
            job,
            JobEvent.RESULT_ACCEPTED,
            cause=f"the result of engine {attempt.engine_id} was verified",
            attempt_id=attempt.id,
            output=output,
            progress=_whole(job.progress or JobProgress(), outcome),
        )

    async def _succeed(
        self,
        change: Change,
        task: TaskRecord,
        attempt: AttemptRecord,
        *,
        source_wait: timedelta = timedelta(0),
    ) -> None:
        ended = await change.move_attempt(attempt, AttemptEvent.SUCCEEDED)
        await change.move_task(task, TaskEvent.DONE)
        change.effects.success_count += 1
        await self._health.succeeded(change, task, attempt)
        await observe(
            change,
            task,
            ended,
            build_id=self._build_of(attempt.engine_id),
            source_wait=source_wait,
        )

    async def resume_task(self, task_id: str) -> bool:
        """Make a task whose retry is due READY; False when it does not wait for one any more."""

        async def make(change: Change) -> bool:
            task = await change.tx.get_task(task_id)
            if task is None or task.state is not TaskState.BACKING_OFF:
                return False
            if task.retry_time is not None and task.retry_time > change.now:
                return False
            job = await change.job(task.job_id)
            await change.move_job(job, JobEvent.RETRY_DUE, cause="the delay of the retry is over")
            await change.move_task(task, TaskEvent.RETRY_DUE)
            return True

        return await self._changes.make(make, keys=Keys(tasks=(task_id,)))

    async def cancel(self, job_id: str, *, by: str) -> JobRecord:
        """Cancel a job; a cancelled one stays so.

        Raises FailedPreconditionError when it is completed or failed.
        """

        async def make(change: Change) -> tuple[JobRecord, bool]:
            job = await change.job(job_id)
            if job.state is JobState.CANCELLED:
                return job, False
            if job.state.is_terminal:
                raise FailedPreconditionError(
                    f"job {job.id} is {job.state.value} already; there is nothing to cancel"
                )
            cause = f"cancelled by {by}"
            cancelled, commands = await change.move_job(job, JobEvent.CANCEL, cause=cause)
            await stop_attempts(change, cancelled, commands, cause=cause)
            await self._failing.close_tasks(change, job.id, TaskEvent.CANCEL)
            return cancelled, True

        job, is_new = await self._changes.make(make, keys=Keys(jobs=(job_id,), with_plan=True))
        if is_new:
            _log.info("job_cancelled", job=job.id, by=by)
        return job

    async def expire(self, job_id: str) -> bool:
        """Fail a job whose ttl has ended; False when it is over or was given more time."""

        async def make(change: Change) -> bool:
            job = await change.tx.get_job(job_id)
            if job is None or job.state.is_terminal:
                return False
            if job.expire_time is None or job.expire_time > change.now:
                return False
            message = (
                f"the job did not finish within its ttl of {job.ttl}; "
                "retry it, or create it with a longer one"
            )
            failure = Failure(reason="EXPIRED", message=message, retryable=False)
            await self._failing.give_up(change, job, failure, cause=message)
            return True

        expired = await self._changes.make(make, keys=Keys(jobs=(job_id,), with_plan=True))
        if expired:
            _log.warning("job_expired", job=job_id)
        return expired


def _another_result(task: TaskRecord, what: str) -> Failure:
    return Failure(
        reason=VerificationError.reason,
        message=f"the engine answered a {task.kind.value.lower()} with the result of {what}",
        retryable=True,
    )


def _whole(last: JobProgress, outcome: Transcoded) -> JobProgress:
    """Return the progress of a job that is done: what was last heard is a little behind."""
    return replace(
        last,
        fraction=1.0,
        frame_count=outcome.frame_count,
        read_bytes=outcome.source_census.read_bytes,
        written_bytes=outcome.size_bytes,
        eta=None,
    )
