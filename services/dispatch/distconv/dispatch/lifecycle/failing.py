"""End attempts that failed, and jobs that have no attempt left; within a change."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from distconv.core import retry, retry_budget
from distconv.core.attempt_states import AttemptEvent
from distconv.core.clock import Clock
from distconv.core.durations import span
from distconv.core.failure import Failure
from distconv.core.retry import RetryPolicy
from distconv.core.retry_budget import BudgetPolicy
from distconv.core.states import Command, JobEvent
from distconv.core.task_states import TaskEvent, TaskState
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.signals import Effects, Signals, Topic
from distconv.dispatch.lifecycle.engine_health import EngineHealth
from distconv.dispatch.lifecycle.stopping import stop_attempts
from distconv.dispatch.store.records import AttemptRecord, JobRecord


class Failing:
    """Retry what failed, as far as the job and the budget of all jobs allow; or give it up."""

    def __init__(
        self,
        *,
        policy: RetryPolicy,
        budget: BudgetPolicy,
        health: EngineHealth,
        signals: Signals,
        clock: Clock,
        randomness: Callable[[], float],
    ) -> None:
        """`randomness` returns numbers in [0, 1) for the jitter of retries."""
        self._policy = policy
        self._budget_policy = budget
        self._budget = retry_budget.full(budget, clock.now())
        self._health = health
        self._clock = clock
        self._randomness = randomness
        signals.listen(self._on_change)

    async def fail(self, change: Change, attempt: AttemptRecord, failure: Failure) -> None:
        """End an attempt as failed: its job retries, or is given up."""
        job = await change.job(attempt.job_id)
        await change.move_attempt(attempt, AttemptEvent.FAILED, error=failure)
        if failure.retryable:
            await self._health.failed(change, attempt, failure)
        failed_count = job.retry_count + 1
        again = retry.may_retry(failure, failed_count=failed_count, max_retries=job.max_retries)
        if not again:
            await change.discard_output(attempt, may_still_write=False)
            counted = replace(job, retry_count=failed_count)
            await self.give_up(change, counted, failure, cause=failure.message)
            return
        await self._retry(change, attempt, job, failure, failed_count=failed_count)

    async def _retry(
        self,
        change: Change,
        attempt: AttemptRecord,
        job: JobRecord,
        failure: Failure,
        *,
        failed_count: int,
    ) -> None:
        wait, note = self._wait(failed_count)
        retry_time = change.now + wait
        task = await change.task(attempt.task_id)
        _, commands = await change.move_job(
            job,
            JobEvent.ATTEMPT_FAILED,
            cause=failure.message + note,
            attempt_id=attempt.id,
            engine_id="",
            progress=None,
            retry_count=failed_count,
            retry_time=retry_time,
            error=failure,
        )
        if Command.SCHEDULE_RETRY in commands:
            avoided = dict.fromkeys((*task.avoided_engine_ids, attempt.engine_id))
            await change.move_task(
                task,
                TaskEvent.ATTEMPT_FAILED,
                retry_time=retry_time,
                avoided_engine_ids=tuple(avoided),
            )
            change.effects.topics.add(Topic.RETRIES)
            change.effects.retry_count += 1
        if Command.DISCARD_OUTPUT in commands:
            await change.discard_output(attempt, may_still_write=False)

    def _wait(self, failed_count: int) -> tuple[timedelta, str]:
        """Return how long to wait, and what to add to the cause when the budget is spent."""
        now = self._clock.now()
        if retry_budget.refilled(self._budget_policy, self._budget, now).tokens >= 1:
            wait = retry.delay(
                self._policy, failed_count=failed_count, randomness=self._randomness()
            )
            return wait, ""
        jitter = self._policy.jitter * self._randomness()
        wait = self._policy.max_delay * (1 - jitter)
        return wait, f" (too many attempts fail: the next comes in {span(wait)})"

    def _on_change(self, effects: Effects) -> None:
        # Counted once a change is there for good: its function may have run more than once.
        now = self._clock.now()
        for _ in range(effects.retry_count):
            _, self._budget = retry_budget.spend(self._budget_policy, self._budget, now)
        for _ in range(effects.success_count):
            self._budget = retry_budget.succeed(self._budget_policy, self._budget, now)

    async def give_up(
        self, change: Change, job: JobRecord, failure: Failure, *, cause: str
    ) -> None:
        """Fail a job for good, and end what runs of it."""
        failed, commands = await change.move_job(
            job, JobEvent.GIVEN_UP, cause=cause, error=failure, retry_count=job.retry_count
        )
        await stop_attempts(change, failed, commands, cause=cause)
        await self.close_tasks(change, job.id, TaskEvent.GIVEN_UP)

    async def close_tasks(self, change: Change, job_id: str, event: TaskEvent) -> None:
        """End the tasks of a job that ended by `event`: GIVEN_UP or CANCEL."""
        for task in await change.tx.list_tasks(job_id):
            if task.state.is_terminal:
                continue
            waited = event is TaskEvent.GIVEN_UP and task.state is TaskState.BLOCKED
            await change.move_task(task, TaskEvent.CANCEL if waited else event)
