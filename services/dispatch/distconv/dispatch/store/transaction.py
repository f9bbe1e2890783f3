"""A change of the store, as the rest of dispatch makes it: reads that lock, and writes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.records import (
    AccountRecord,
    AttemptRecord,
    BenchmarkRecord,
    EngineRecord,
    GarbageRecord,
    JobRecord,
    OutboxRecord,
    RequestRecord,
    SpeedRecord,
    TaskRecord,
    TransitionRecord,
)


class Transaction(Protocol):
    """One change or several, whole or not at all. Records are saved whole; ids never change.

    What is written is seen by the reads of the same transaction, and reaches the
    database at its end: an id that stands already may be told of only then.
    """

    @property
    def broken(self) -> bool:
        """Tell that a statement failed, so that nothing can be committed any more."""
        ...

    async def prefetch(self, keys: Keys) -> None:
        """Read and lock what will be asked for, in few statements."""
        ...

    def keep(self) -> None:
        """Keep what was written so far, whatever becomes of what is written later."""
        ...

    def drop(self) -> None:
        """Forget what was written since the last `keep` or `drop`."""
        ...

    async def get_job(self, job_id: str) -> JobRecord | None:
        """Return a job and lock it."""
        ...

    async def get_task(self, task_id: str) -> TaskRecord | None:
        """Return a task and lock it."""
        ...

    async def claim_tasks(self, task_ids: Sequence[str]) -> Sequence[TaskRecord]:
        """Return those of the tasks that are READY, and lock them and their jobs.

        Waits for nobody: what another change holds is left out.
        """
        ...

    async def get_attempt(self, attempt_id: str) -> AttemptRecord | None:
        """Return an attempt and lock it."""
        ...

    async def get_engine(self, engine_id: str) -> EngineRecord | None:
        """Return an engine and lock it."""
        ...

    async def get_request(self, tenant: str, request_id: str) -> RequestRecord | None:
        """Return what a request id was used for."""
        ...

    async def list_requests(
        self, tenant: str, request_ids: Sequence[str]
    ) -> Sequence[RequestRecord]:
        """Return what request ids were used for; those that are new are left out."""
        ...

    async def get_account(self, tenant: str, urgency: int) -> AccountRecord:
        """Return a tenant's account of an urgency and lock it; a new one has its ranks at 0."""
        ...

    async def get_virtual_time(self, urgency: int) -> float:
        """Return the rank at which a newcomer of an urgency begins, 0 at first. No lock.

        It is the highest rank that was taken, but not beyond the head of any line
        of that urgency from which tasks are being taken (`Front`).
        """
        ...

    async def get_speed(
        self, *, engine_id: str, codec: str, height_class: int, build_id: str
    ) -> SpeedRecord | None:
        """Return how fast an engine has been, and lock it."""
        ...

    async def list_tasks(self, job_id: str) -> Sequence[TaskRecord]:
        """Return a job's tasks in the order of the plan, and lock them."""
        ...

    async def list_live_attempts(
        self, *, job_id: str = "", engine_id: str = ""
    ) -> Sequence[AttemptRecord]:
        """Return the live attempts of a job or of an engine, oldest first, and lock them."""
        ...

    async def renew_leases(
        self, *, engine_id: str, tokens: dict[str, int], expire_time: datetime
    ) -> Sequence[AttemptRecord]:
        """Push on the leases of the engine's live attempts; return those that still hold.

        `tokens` is by attempt id. A later expiry stays as it is, and so does that of
        an attempt which another change holds: nobody is waited for.
        """
        ...

    async def add_job(self, job: JobRecord) -> None:
        """Insert a job."""
        ...

    async def add_task(self, task: TaskRecord) -> None:
        """Insert a task, and its line when that is new."""
        ...

    async def add_attempt(self, attempt: AttemptRecord) -> None:
        """Insert an attempt."""
        ...

    async def add_transition(self, transition: TransitionRecord) -> None:
        """Append to a job's history."""
        ...

    async def add_event(self, event: OutboxRecord) -> None:
        """Append to the outbox."""
        ...

    async def add_request(self, request: RequestRecord) -> None:
        """Insert what a request id was used for."""
        ...

    async def save_job(self, job: JobRecord) -> None:
        """Replace a job."""
        ...

    async def save_task(self, task: TaskRecord) -> None:
        """Replace a task."""
        ...

    async def save_attempt(self, attempt: AttemptRecord) -> None:
        """Replace an attempt."""
        ...

    async def put_engine(self, engine: EngineRecord) -> None:
        """Insert or replace an engine."""
        ...

    async def put_account(self, account: AccountRecord) -> None:
        """Replace a tenant's account of an urgency."""
        ...

    async def put_speed(self, speed: SpeedRecord) -> None:
        """Insert or replace how fast an engine has been."""
        ...

    async def add_benchmark(self, benchmark: BenchmarkRecord) -> None:
        """Append to an engine's benchmarks."""
        ...

    async def remove_events(self, numbers: Sequence[int]) -> None:
        """Take events out of the outbox, by their numbers."""
        ...

    async def remove_jobs(self, job_ids: Sequence[str]) -> None:
        """Remove jobs with everything about them; harmless for those that are gone."""
        ...

    async def remove_expired_requests(self, now: datetime, *, limit: int) -> int:
        """Forget requests whose time has come, the longest expired first; return how many."""
        ...

    async def remove_idle_lines(self, *, unused_since: datetime) -> int:
        """Forget lines without READY tasks that nobody used since; return how many."""
        ...

    async def get_garbage(self, object_id: str) -> GarbageRecord | None:
        """Return an object to delete and lock it."""
        ...

    async def is_object_needed(self, tenant: str, object_id: str) -> bool:
        """Tell whether the object is the source of a job that has not ended. No lock.

        Whoever adds jobs of a tenant, or deletes what they may read, locks the tenant first.
        """
        ...

    async def put_garbage(self, garbage: GarbageRecord) -> None:
        """Insert or replace an object to delete; a later `final_time` stays."""
        ...

    async def remove_garbage(self, object_id: str) -> None:
        """Forget an object to delete."""
        ...
