"""End what runs of a job, within a change."""

from distconv.core.attempt_states import AttemptEvent
from distconv.core.states import Command
from distconv.dispatch.changes.change import Change
from distconv.dispatch.store.records import JobRecord


async def stop_attempts(
    change: Change, job: JobRecord, commands: tuple[Command, ...], *, cause: str
) -> None:
    """Carry out STOP_ATTEMPT and DISCARD_OUTPUT: no attempt of the job holds a lease after it."""
    if Command.STOP_ATTEMPT not in commands:
        return
    for attempt in await change.tx.list_live_attempts(job_id=job.id):
        await change.move_attempt(attempt, AttemptEvent.CANCEL)
        change.stop(attempt, reason=cause)
        if Command.DISCARD_OUTPUT in commands:
            await change.discard_output(attempt, may_still_write=True)
