"""The store as the rest of dispatch sees it.

Reads stand on the store; changes are made in a transaction, whole or not at
all. A transaction's reads lock what they read against other transactions, on
this replica and on others, so a change may rest on them.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from distconv.dispatch.store.records import (
    AttemptRecord,
    EngineQuery,
    EngineRecord,
    GarbageRecord,
    JobQuery,
    JobRecord,
    OutboxRecord,
    RequestRecord,
    TaskRecord,
    TransitionRecord,
)


class Transaction(Protocol):
    """One change, whole or not at all. Records are saved whole; ids never change."""

    async def get_job(self, job_id: str) -> JobRecord | None:
        """Return a job and lock it."""
        ...

    async def get_task(self, task_id: str) -> TaskRecord | None:
        """Return a task and lock it."""
        ...

    async def get_claimable_task(self, task_id: str) -> TaskRecord | None:
        """Return a task that is READY and lock it; None when it is not, or is locked already."""
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

        `tokens` is by attempt id. A later expiry stays as it is.
        """
        ...

    async def extend_leases(self, *, expire_time: datetime) -> int:
        """Push every lease that ends before `expire_time` on to it; return how many."""
        ...

    async def take_engines_offline(self) -> int:
        """Mark every engine that is not revoked as OFFLINE; return how many were not."""
        ...

    async def add_job(self, job: JobRecord) -> None:
        """Insert a job."""
        ...

    async def add_task(self, task: TaskRecord) -> None:
        """Insert a task, and its requirement set when that is new."""
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

    async def put_garbage(self, garbage: GarbageRecord) -> None:
        """Insert or replace an object to delete."""
        ...

    async def remove_garbage(self, object_id: str) -> None:
        """Forget an object to delete."""
        ...


class Store(Protocol):
    """Keep jobs, tasks, attempts and engines; tell what is due.

    Reads see what was committed before they began.
    """

    async def close(self) -> None:
        """Let go of the database; harmless when repeated."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin a change: committed when the block ends, undone when it raises."""
        ...

    async def get_job(self, job_id: str) -> JobRecord | None:
        """Return a job."""
        ...

    async def find_jobs(self, tenant: str, prefix: str, *, limit: int = 2) -> Sequence[JobRecord]:
        """Return the tenant's jobs whose ids begin with `prefix`, at most `limit`."""
        ...

    async def list_jobs(self, query: JobQuery) -> Sequence[JobRecord]:
        """Return a page of jobs; deleted ones are left out."""
        ...

    async def count_jobs(self, query: JobQuery) -> int:
        """Count the matches of a query, all pages."""
        ...

    async def list_tasks(self, job_id: str) -> Sequence[TaskRecord]:
        """Return a job's tasks in the order of the plan."""
        ...

    async def list_attempts(self, job_id: str) -> Sequence[AttemptRecord]:
        """Return every attempt at a job's tasks, oldest first."""
        ...

    async def list_transitions(self, job_id: str) -> Sequence[TransitionRecord]:
        """Return a job's history, oldest first."""
        ...

    async def list_events(self, *, limit: int) -> Sequence[OutboxRecord]:
        """Return the oldest events of the outbox."""
        ...

    async def get_request(self, tenant: str, request_id: str) -> RequestRecord | None:
        """Return what a request id was used for."""
        ...

    async def get_attempt(self, attempt_id: str) -> AttemptRecord | None:
        """Return an attempt."""
        ...

    async def get_attempt_of_object(self, tenant: str, object_id: str) -> AttemptRecord | None:
        """Return the attempt whose output goes to an object."""
        ...

    async def is_object_needed(self, tenant: str, object_id: str) -> bool:
        """Tell whether the object is the source of a job that has not ended."""
        ...

    async def get_engine(self, engine_id: str) -> EngineRecord | None:
        """Return an engine."""
        ...

    async def find_engines(
        self, tenant: str, prefix: str, *, limit: int = 2
    ) -> Sequence[EngineRecord]:
        """Return the tenant's engines whose ids begin with `prefix`, at most `limit`."""
        ...

    async def list_engines(self, query: EngineQuery) -> Sequence[EngineRecord]:
        """Return a page of engines."""
        ...

    async def count_online_engines(self) -> int:
        """Count engines that are ONLINE."""
        ...

    async def list_live_attempts(self, engine_id: str) -> Sequence[AttemptRecord]:
        """Return the live attempts on an engine, oldest first."""
        ...

    async def list_requirements(self) -> Sequence[str]:
        """Return the key of every requirement set that a task ever had."""
        ...

    async def list_ready_tasks(
        self, *, requirements: Sequence[str], limit: int
    ) -> Sequence[TaskRecord]:
        """Return the next READY tasks with one of the requirement sets, the next one first."""
        ...

    async def count_ready_before(self, task: TaskRecord, *, requirements: Sequence[str]) -> int:
        """Count READY tasks with one of the requirement sets that come before `task`."""
        ...

    async def list_expired_leases(self, now: datetime, *, limit: int) -> Sequence[AttemptRecord]:
        """Return live attempts whose lease has ended, the longest ended first."""
        ...

    async def get_next_lease_expiry(self) -> datetime | None:
        """Return when the next lease ends."""
        ...

    async def list_due_retries(self, now: datetime, *, limit: int) -> Sequence[TaskRecord]:
        """Return BACKING_OFF tasks whose time has come, the longest due first."""
        ...

    async def get_next_retry_time(self) -> datetime | None:
        """Return when the next retry is due."""
        ...

    async def list_expired_jobs(self, now: datetime, *, limit: int) -> Sequence[JobRecord]:
        """Return jobs that have not ended and whose ttl has, the longest expired first."""
        ...

    async def get_next_job_expiry(self) -> datetime | None:
        """Return when the next ttl ends."""
        ...

    async def list_due_garbage(self, now: datetime, *, limit: int) -> Sequence[GarbageRecord]:
        """Return objects whose deletion is due, the longest due first."""
        ...

    async def get_next_garbage_time(self) -> datetime | None:
        """Return when the next deletion is due."""
        ...
