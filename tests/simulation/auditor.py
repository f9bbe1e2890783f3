"""Check every commit against the invariants, and the world at its end."""

from collections import Counter, defaultdict

from tests.simulation.bus import WorldBus
from tests.simulation.fairness import FairShare
from tests.simulation.ledger import Invariant, Ledger
from tests.simulation.object_world import ObjectWorld

from distconv.core.attempt_states import AttemptState
from distconv.core.states import TERMINAL, JobEvent, JobState
from distconv.dispatch.lifecycle.leasing import silence_cause
from distconv.dispatch.sessions.messages import ResultAck
from distconv.dispatch.store.records import (
    AttemptRecord,
    GarbageRecord,
    JobRecord,
    OutboxRecord,
    TransitionRecord,
)
from distconv.dispatch.store.rows import Writes


class Auditor:
    """Keep a second book: what jobs and attempts were committed, and whether that was right."""

    def __init__(
        self, ledger: Ledger, storage: ObjectWorld, *, max_lost_leases: int | None
    ) -> None:
        """`max_lost_leases` is after how many a lost lease counts as a failure; None: never."""
        self._ledger = ledger
        self._storage = storage
        self._max_lost = max_lost_leases
        self.jobs: dict[str, JobRecord] = {}
        self.attempts: dict[str, AttemptRecord] = {}
        self._of_task: defaultdict[str, dict[str, AttemptRecord]] = defaultdict(dict)
        self._attempts_of_job: defaultdict[str, dict[str, AttemptRecord]] = defaultdict(dict)
        self.transitions: defaultdict[str, list[TransitionRecord]] = defaultdict(list)
        self.events: defaultdict[str, list[OutboxRecord]] = defaultdict(list)
        self._retried: Counter[str] = Counter()
        # How many attempts a job had when it was retried by hand, from when on they count anew.
        self._attempts_before_retry: Counter[str] = Counter()
        self._to_delete: set[str] = set()
        self.fair_share = FairShare(ledger)
        ledger.on_commit = self.committed
        ledger.on_answer = self.answered

    def committed(self, process: str, writes: Writes) -> None:
        """Check what one commit wrote."""
        for transition in writes.transitions:
            self._moved(transition, process)
            self._taken(transition)
        for event in writes.events:
            self._recorded(event)
        attempts = [row.new for row in writes.attempts if row.new is not None]
        for attempt in attempts:
            self._attempt(attempt)
        for attempt in attempts:
            self._only_lease(attempt)
        for written in writes.jobs:
            if written.new is not None:
                self._job(written.new)
            else:
                self._purged(written.key)
        for garbage in writes.garbage:
            if garbage.new is not None:
                self._discarded(garbage.new)
        self.fair_share.committed(writes)

    def answered(self, engine_id: str, answer: ResultAck) -> None:
        """Check the answer to an engine's result."""
        self._ledger.note(engine_id, "is answered", answer.ref.attempt, answer.accepted)
        attempt = self.attempts.get(answer.ref.attempt)
        if answer.accepted and (
            attempt is None
            or (attempt.engine_id, attempt.fencing_token) != (engine_id, answer.fencing_token)
        ):
            self._violated(
                Invariant.ONE_OUTPUT,
                f"engine {engine_id} was believed about {answer.ref.attempt} under token "
                f"{answer.fencing_token}; the lease was of {attempt and attempt.engine_id}, "
                f"{attempt and attempt.fencing_token}",
            )

    # --- history and events ------------------------------------------------------------------

    def _moved(self, move: TransitionRecord, process: str) -> None:
        history = self.transitions[move.job_id]
        last = history[-1].to_state if history else None
        if move.from_state is not last:
            self._violated(
                Invariant.EVENTS, f"job {move.job_id} was {last}; its history says {move}"
            )
        if last in TERMINAL and move.event != JobEvent.RETRY.name:
            self._violated(
                Invariant.ENDS, f"job {move.job_id} was {last} and became {move.to_state}"
            )
        if move.event == JobEvent.RETRY.name:
            self._retried[move.job_id] += 1
            self._attempts_before_retry[move.job_id] = len(self._attempts_of_job[move.job_id])
        history.append(move)
        self._ledger.note(process, move.job_id, move.event, "→", move.to_state.value)

    def _recorded(self, event: OutboxRecord) -> None:
        if event.subject.startswith("jobs/"):
            self.events[event.subject.removeprefix("jobs/")].append(event)

    # --- attempts and leases -----------------------------------------------------------------

    def _attempt(self, attempt: AttemptRecord) -> None:
        known = self.attempts.get(attempt.id)
        if known is None:
            self._ledger.note(
                "attempt", attempt.id, "of", attempt.task_id, "on", attempt.engine_id,
                attempt.fencing_token, attempt.state.value,
            )  # fmt: skip
            self._granted(attempt)
        elif known.state is not attempt.state:
            self._ledger.note("attempt", attempt.id, attempt.state.value)
            self._counted(attempt)
            if not known.state.is_live:
                self._violated(
                    Invariant.ONE_LEASE,
                    f"attempt {attempt.id} was {known.state} and is {attempt.state}",
                )
        self.attempts[attempt.id] = attempt
        self._of_task[attempt.task_id][attempt.id] = attempt
        self._attempts_of_job[attempt.job_id][attempt.id] = attempt

    def _counted(self, attempt: AttemptRecord) -> None:
        """Check that a lost lease did not count as a failure before it may."""
        if attempt.error is None or attempt.error.reason != "LEASE_LOST":
            return
        lost = sum(a.state is AttemptState.LOST for a in self._of_task[attempt.task_id].values())
        if self._max_lost is None or lost < self._max_lost:
            self._violated(
                Invariant.JUST,
                f"attempt {attempt.id} counts as failed after {lost} lost leases on its task",
            )

    def _taken(self, move: TransitionRecord) -> None:
        """Check that a lease which was taken from a silent engine had ended."""
        attempts = self._attempts_of_job[move.job_id].values()
        if not any(move.cause.startswith(silence_cause(a.engine_id)) for a in attempts):
            return
        for attempt in attempts:
            expiry = attempt.lease_expire_time
            if expiry is not None and expiry > move.time:
                self._violated(
                    Invariant.ONE_LEASE,
                    f"attempt {attempt.id} lost its lease {expiry - move.time} before its end",
                )

    def _granted(self, attempt: AttemptRecord) -> None:
        others = self._of_task[attempt.task_id].values()
        if any(a.fencing_token >= attempt.fencing_token for a in others):
            self._violated(
                Invariant.ONE_LEASE,
                f"attempt {attempt.id} has token {attempt.fencing_token}, not above all before",
            )
        self._bounded(attempt)

    def _only_lease(self, attempt: AttemptRecord) -> None:
        live = [a.id for a in self._of_task[attempt.task_id].values() if a.state.is_live]
        if len(live) > 1:
            self._violated(
                Invariant.ONE_LEASE, f"task {attempt.task_id} is held by the attempts {live}"
            )

    def _bounded(self, attempt: AttemptRecord) -> None:
        job = self.jobs.get(attempt.job_id)
        if job is None:
            return
        lives = self._retried[job.id] + 1  # a retry by hand counts from nothing again
        failed = sum(a.state is AttemptState.FAILED for a in self._attempts_of_job[job.id].values())
        if failed >= (job.max_retries + 1) * lives:
            self._violated(
                Invariant.BOUNDED,
                f"job {job.id} got attempt {attempt.id} after {failed} failed ones, "
                f"with max_retries {job.max_retries}",
            )
        lost = sum(a.state is AttemptState.LOST for a in self._of_task[attempt.task_id].values())
        if self._max_lost is not None and lost > (self._max_lost + job.max_retries + 1) * lives:
            self._violated(
                Invariant.BOUNDED, f"task {attempt.task_id} goes on after {lost} lost leases"
            )

    # --- jobs --------------------------------------------------------------------------------

    def _job(self, job: JobRecord) -> None:
        known = self.jobs.get(job.id)
        self.jobs[job.id] = job
        history, events = self.transitions[job.id], self.events[job.id]
        if known is not None and job.version <= known.version and job != known:
            self._violated(
                Invariant.EVENTS, f"job {job.id} changed but its version {job.version} did not grow"
            )
        if not history or history[-1].to_state is not job.state:
            self._violated(
                Invariant.EVENTS, f"job {job.id} is {job.state} without a line in its history"
            )
        if len(events) < len(history):
            self._violated(
                Invariant.EVENTS,
                f"job {job.id} has {len(history)} transitions and {len(events)} events",
            )
        if known is not None and known.output is not None and job.output != known.output:
            self._violated(Invariant.ONE_OUTPUT, f"job {job.id} was published twice")
        if job.output is not None and (known is None or known.output is None):
            self._published(job)
        if job.state is JobState.FAILED and (known is None or known.state is not job.state):
            self._given_up(job, known)

    def _given_up(self, job: JobRecord, known: JobRecord | None) -> None:
        """Check that a job was not given up too early: lost and returned work is no failure."""
        error = job.error
        if error is None:
            self._violated(Invariant.JUST, f"job {job.id} failed and nobody says why")
        elif error.reason == "EXPIRED":
            # One that ended has no such time any more: what counts is what it had before.
            due = job.expire_time or (None if known is None else known.expire_time)
            if due is None or due > job.update_time:
                self._violated(Invariant.JUST, f"job {job.id} expired before {due}")
        elif error.retryable:
            attempts = list(self._attempts_of_job[job.id].values())
            counted = attempts[self._attempts_before_retry[job.id] :]
            failed = sum(a.state is AttemptState.FAILED for a in counted)
            if failed <= job.max_retries:
                self._violated(
                    Invariant.JUST,
                    f"job {job.id} failed after {failed} failed attempts, "
                    f"with max_retries {job.max_retries}: {error.message}",
                )

    def _published(self, job: JobRecord) -> None:
        object_id = job.output.object_id if job.output else ""
        won = [a for a in self._attempts_of_job[job.id].values() if a.object_id == object_id]
        if job.state is not JobState.COMPLETED or not object_id:
            self._violated(Invariant.ONE_OUTPUT, f"job {job.id} is {job.state} with an output")
        elif len(won) != 1 or won[0].state is not AttemptState.SUCCEEDED:
            self._violated(
                Invariant.ONE_OUTPUT,
                f"job {job.id} got the output {object_id} of no attempt that won",
            )
        elif won[0].fencing_token != (
            newest := max(a.fencing_token for a in self._of_task[won[0].task_id].values())
        ):
            self._violated(
                Invariant.ONE_OUTPUT,
                f"job {job.id} was published under token {won[0].fencing_token}, not {newest}",
            )
        self._check_stored(job)

    def _check_stored(self, job: JobRecord) -> None:
        output = job.output
        stored = output and self._storage.stored.get((job.tenant, output.object_id))
        if (
            not output
            or not stored
            or not stored.committed
            or (stored.size_bytes, stored.sha256) != (output.size_bytes, output.sha256)
        ):
            self._violated(
                Invariant.ONE_OUTPUT,
                f"job {job.id} has the output {output and output.object_id}; storage has {stored}",
            )

    def _discarded(self, garbage: GarbageRecord) -> None:
        self._to_delete.add(garbage.object_id)
        for job in self.jobs.values():
            if self._holds(job) and job.output and job.output.object_id == garbage.object_id:
                self._violated(Invariant.ONE_OUTPUT, f"the output of job {job.id} is to be deleted")

    def _purged(self, job_id: str) -> None:
        job = self.jobs.get(job_id)
        if job is not None and (job.delete_time is None or not job.state.is_terminal):
            self._violated(Invariant.ENDS, f"job {job_id} was {job.state} and is forgotten")
        self._ledger.note(job_id, "is forgotten")

    def _holds(self, job: JobRecord) -> bool:
        """Tell whether a job's output is to be in storage; a deleted job may give it up."""
        if job.state is not JobState.COMPLETED or job.output is None:
            return False
        return job.delete_time is None or job.output.object_id not in self._to_delete

    def _violated(self, invariant: Invariant, detail: str) -> None:
        self._ledger.violated(invariant, detail)

    # --- the end -----------------------------------------------------------------------------

    def unfinished(self) -> list[JobRecord]:
        """Return the jobs that have not ended."""
        return [job for job in self.jobs.values() if not job.state.is_terminal]

    def surplus(self, sources: set[tuple[str, str]]) -> list[str]:
        """Return what is in storage that nobody needs."""
        needed = sources | {
            (job.tenant, job.output.object_id)
            for job in self.jobs.values()
            if job.output is not None and self._holds(job)
        }
        return sorted(object_id for _, object_id in self._storage.stored.keys() - needed)

    def unpublished(self, bus: WorldBus) -> list[str]:
        """Return what the bus lacks, or has in another order than it was committed in."""
        wrong = []
        for job_id, events in sorted(self.events.items()):
            known = {event.id for event in events}
            seen = [event_id for event_id in bus.seen[f"jobs/{job_id}"] if event_id in known]
            if seen != [event.id for event in events]:
                wrong.append(f"job {job_id} has {len(events)} events, the bus {len(seen)} of them")
        return wrong

    def check_end(self, sources: set[tuple[str, str]], bus: WorldBus) -> None:
        """Check what holds once the world has come to rest."""
        for detail in self.unpublished(bus):
            self._violated(Invariant.EVENTS, detail)
        for job in self.unfinished():
            self._violated(Invariant.ENDS, f"job {job.id} is still {job.state}")
        for attempt in self.attempts.values():
            if attempt.state.is_live:
                self._violated(Invariant.ENDS, f"attempt {attempt.id} is still {attempt.state}")
        for job in self.jobs.values():
            if self._holds(job):
                self._check_stored(job)
        for object_id in self.surplus(sources):
            self._violated(Invariant.CLEAN, f"object {object_id} was left")
        for _, object_id in sorted(sources - self._storage.stored.keys()):
            self._violated(Invariant.CLEAN, f"source {object_id} is gone")
