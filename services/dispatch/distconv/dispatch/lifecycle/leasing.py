"""Give tasks to engines and take them back: claims, acceptances, phases, releases."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from distconv.core import lease
from distconv.core.attempt import AttemptPhase
from distconv.core.attempt_states import AttemptEvent, AttemptState
from distconv.core.failure import Failure
from distconv.core.progress import JobProgress
from distconv.core.states import Command, JobEvent, JobState
from distconv.core.task_states import TaskEvent, TaskKind
from distconv.core.transfer import TransferMode
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.lifecycle.failing import Failing
from distconv.dispatch.placement.choice import Placement
from distconv.dispatch.placement.transfer import Transfer, decide, facts_of
from distconv.dispatch.store.failures import ConflictError
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.records import AttemptRecord, JobRecord, TaskRecord
from distconv.dispatch.wording import count

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A task that an engine was given, with all that the assignment is made of."""

    job: JobRecord
    task: TaskRecord
    attempt: AttemptRecord


class Leasing:
    """Move tasks to engines and back, each time in one transaction."""

    def __init__(
        self,
        changes: Changes,
        *,
        lease_duration: timedelta,
        failing: Failing,
        max_lost_leases: int,
        default_transfer: TransferMode = TransferMode.STREAMING,
    ) -> None:
        """`max_lost_leases` may be lost on a task before each counts as a failure of the work.

        `default_transfer` is how media travels where either way would do and the job asks for none.
        """
        self._default_transfer = default_transfer
        self._changes = changes
        self._failing = failing
        self._max_lost_leases = max_lost_leases
        self.lease_duration = lease_duration

    async def claim(self, placements: Sequence[Placement]) -> list[Claim]:
        """Give READY tasks to engines in one change.

        Those that someone else took are left out, and those of a tenant whose account
        someone else holds: the others need not wait for it.
        """
        wanted = {p.task.id: p for p in placements}
        # The tasks and jobs are left to the claim itself, which waits for nobody.
        tenants = sorted({p.task.tenant for p in placements})
        try:
            return await self._changes.make(
                lambda change: self._claim(change, wanted),
                keys=Keys(tenants=tuple(tenants)),
                patient=False,
            )
        except ConflictError as error:
            if len(tenants) == 1:
                _log.warning("tenant_passed_over", tenant=tenants[0], why=error.message)
                return []
        parts = [[p for p in placements if p.task.tenant == tenant] for tenant in tenants]
        claims = await asyncio.gather(*(self.claim(part) for part in parts))
        return [claim for part in claims for claim in part]

    async def _claim(self, change: Change, wanted: Mapping[str, Placement]) -> list[Claim]:
        tasks = await change.tx.claim_tasks(list(wanted))
        claims = [await self._give(change, task, wanted[task.id]) for task in tasks]
        await change.queue.taken(tasks)
        return claims

    async def _give(self, change: Change, task: TaskRecord, placement: Placement) -> Claim:
        job = await change.job(task.job_id)
        granted = lease.grant(
            last_token=task.fencing_token, now=change.now, duration=self.lease_duration
        )
        transfer = _transfer(task, job, placement, self._default_transfer)
        decision = placement.decision
        if transfer is not None:
            decision += f"; {transfer.mode.value.lower()}: {transfer.reason}"
        attempt = AttemptRecord(
            id=change.new_id(),
            tenant=task.tenant,
            job_id=task.job_id,
            task_id=task.id,
            engine_id=placement.engine_id,
            state=AttemptState.ASSIGNED,
            fencing_token=granted.fencing_token,
            lease_expire_time=granted.expire_time,
            object_id=change.new_id() if task.kind is TaskKind.TRANSCODE else "",
            create_time=change.now,
            decision=decision,
            transfer_mode="" if transfer is None else transfer.mode.value,
            estimate=placement.estimate,
        )
        await change.tx.add_attempt(attempt)
        task = await change.move_task(task, TaskEvent.CLAIMED, fencing_token=granted.fencing_token)
        job, _ = await change.move_job(
            job,
            JobEvent.TASK_ASSIGNED,
            cause=f"{task.kind.value.lower()}: {decision}",
            attempt_id=attempt.id,
            engine_id=placement.engine_id,
            progress=None,
            attempt_count=job.attempt_count + 1,
        )
        return Claim(job=job, task=task, attempt=attempt)

    async def accept(self, attempt_id: str) -> None:
        """Note that the engine took the attempt; harmless when it is known or over."""

        async def make(change: Change) -> None:
            attempt = await change.tx.get_attempt(attempt_id)
            if attempt is None or attempt.state is not AttemptState.ASSIGNED:
                return
            await change.move_attempt(attempt, AttemptEvent.ACCEPTED)
            job = await change.job(attempt.job_id)
            if job.start_time is None:
                await change.touch_job(job, start_time=change.now)

        await self._changes.make(make, keys=Keys(attempts=(attempt_id,)))

    async def advance(
        self, attempt_id: str, phase: AttemptPhase, progress: JobProgress | None
    ) -> None:
        """Note that a transcode came into a phase; one that the job is past is passed over."""

        async def make(change: Change) -> None:
            attempt = await change.tx.get_attempt(attempt_id)
            if attempt is None or not attempt.state.is_live or not attempt.object_id:
                return
            job = await change.job(attempt.job_id)
            if phase is AttemptPhase.ENCODING and job.state is JobState.ASSIGNED:
                event = JobEvent.ENCODING_STARTED
            elif phase >= AttemptPhase.FINISHING and job.state in (
                JobState.ASSIGNED,
                JobState.TRANSCODING,
            ):
                event = JobEvent.ENCODING_ENDED
            else:
                return
            await change.move_job(
                job,
                event,
                cause=f"reported by engine {attempt.engine_id}",
                attempt_id=attempt.id,
                progress=progress,
            )

        await self._changes.make(make, keys=Keys(attempts=(attempt_id,)))

    async def release(self, attempt_id: str, event: AttemptEvent, *, cause: str) -> bool:
        """Take a live attempt's task back without counting it as a failure.

        `event` is LEASE_LOST or GIVEN_BACK. False when the attempt was over already.
        """

        async def make(change: Change) -> AttemptRecord | None:
            attempt = await change.tx.get_attempt(attempt_id)
            if attempt is None or not attempt.state.is_live:
                return None
            await self._take_back(change, attempt, event, cause=cause)
            return attempt

        attempt = await self._changes.make(make, keys=Keys(attempts=(attempt_id,)))
        if attempt is None:
            return False
        _log.info(
            "attempt_released",
            job=attempt.job_id,
            attempt=attempt.id,
            engine=attempt.engine_id,
            cause=cause,
        )
        return True

    async def expire(self, attempt_id: str) -> bool:
        """Take away the lease of an attempt if it has ended; False when it holds or is over."""

        async def make(change: Change) -> AttemptRecord | None:
            attempt = await change.tx.get_attempt(attempt_id)
            if (
                attempt is None
                or attempt.lease_expire_time is None
                or attempt.lease_expire_time > change.now
            ):
                return None
            cause = silence_cause(attempt.engine_id)
            await self._take_back(change, attempt, AttemptEvent.LEASE_LOST, cause=cause)
            change.stop(attempt, reason=cause)
            return attempt

        # Who holds it is at work on it; whoever looks for leases that ended looks again.
        attempt = await self._changes.make(make, keys=Keys(attempts=(attempt_id,)), patient=False)
        if attempt is None:
            return False
        _log.warning(
            "lease_expired", job=attempt.job_id, attempt=attempt.id, engine=attempt.engine_id
        )
        return True

    async def _take_back(
        self, change: Change, attempt: AttemptRecord, event: AttemptEvent, *, cause: str
    ) -> None:
        """Release an attempt, or fail it when too many leases were lost on its task.

        A file that takes every engine down with it must not go round for ever.
        """
        if event is AttemptEvent.LEASE_LOST:
            task = await change.task(attempt.task_id)
            if task.lost_count >= self._max_lost_leases:
                await self._fail_lost(change, attempt, task, cause=cause)
                return
        await release(change, attempt, event, cause=cause)

    async def _fail_lost(
        self, change: Change, attempt: AttemptRecord, task: TaskRecord, *, cause: str
    ) -> None:
        lost = count(task.lost_count + 1, "lease")
        failure = Failure(
            reason="LEASE_LOST",
            message=f"{cause}; {lost} were lost on this task, as if it took its engines down",
            retryable=True,
        )
        await change.tx.save_task(replace(task, lost_count=task.lost_count + 1))
        await self._failing.fail(change, attempt, failure)
        # The engine may be alive after all, and still write.
        await change.discard_output(attempt, may_still_write=True)


def silence_cause(engine_id: str) -> str:
    """Say why a lease is taken from an engine that let it end: what the cause begins with."""
    return f"engine {engine_id} was silent until its lease ended"


async def release(
    change: Change, attempt: AttemptRecord, event: AttemptEvent, *, cause: str
) -> None:
    """Take a live attempt's task back, within a change."""
    await change.move_attempt(attempt, event)
    task = await change.task(attempt.task_id)
    _, commands = await change.move_job(
        await change.job(attempt.job_id),
        JobEvent.ATTEMPT_RELEASED,
        cause=cause,
        attempt_id=attempt.id,
        engine_id="",
        progress=None,
    )
    lost = event is AttemptEvent.LEASE_LOST
    if Command.ENQUEUE in commands:
        await change.move_task(
            task, TaskEvent.RELEASED, lost_count=task.lost_count + (1 if lost else 0)
        )
    if Command.DISCARD_OUTPUT in commands:
        await change.discard_output(attempt, may_still_write=lost)


def _transfer(
    task: TaskRecord, job: JobRecord, placement: Placement, default: TransferMode
) -> Transfer | None:
    facts = facts_of(job) if task.kind is TaskKind.TRANSCODE else None
    if facts is None:
        return None
    return decide(replace(facts, scratch_free_bytes=placement.scratch_free_bytes, default=default))
