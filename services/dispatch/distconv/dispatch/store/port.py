"""The store as the rest of dispatch sees it.

Reads stand on the store; changes are made in a transaction, whole or not at
all. A transaction's reads lock what they read against other transactions, on
this replica and on others, so a change may rest on them.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.queries import EngineQuery, JobQuery, Line, LineHead, TaskQuery
from distconv.dispatch.store.records import (
    AccountRecord,
    AttemptRecord,
    BenchmarkRecord,
    EngineRecord,
    GarbageRecord,
    HeartbeatRecord,
    JobRecord,
    OutboxRecord,
    ReplicaRecord,
    RequestRecord,
    SpeedRecord,
    TaskRecord,
    TransitionRecord,
)
from distconv.dispatch.store.transaction import Transaction


class Store(Protocol):
    """Keep jobs, tasks, attempts and engines; tell what is due.

    Reads see what was committed before they began.
    """

    async def close(self) -> None:
        """Let go of the database; harmless when repeated."""
        ...

    def transaction(self, keys: Keys | None = None) -> AbstractAsyncContextManager[Transaction]:
        """Begin a change: committed when the block ends, undone when it raises.

        Raises ConflictError or ConnectionLostError when nothing was done and the same
        may be tried again, AlreadyExistsError for an id that stands already, and
        UnavailableError when the database does not take changes now.
        """
        ...

    def duty(self, name: str) -> AbstractAsyncContextManager[bool]:
        """Hold a duty while the block lasts: True for one process at a time, False for others.

        A process that dies lets go of it. Hold it briefly, for a page of work.
        """
        ...

    async def get_job(self, job_id: str) -> JobRecord | None:
        """Return a job."""
        ...

    async def find_jobs(self, tenant: str, prefix: str, *, limit: int = 2) -> Sequence[JobRecord]:
        """Return the tenant's jobs whose ids begin with `prefix`, at most `limit`."""
        ...

    async def list_jobs(self, query: JobQuery) -> Sequence[JobRecord]:
        """Return a page of jobs, in the query's order."""
        ...

    async def count_jobs(self, query: JobQuery) -> int:
        """Count the matches of a query, all pages."""
        ...

    async def list_deleted_jobs(self, before: datetime, *, limit: int) -> Sequence[JobRecord]:
        """Return jobs that were deleted before, the longest ago first."""
        ...

    async def get_next_delete_time(self) -> datetime | None:
        """Return when the job was deleted that was deleted the longest ago."""
        ...

    async def get_probed_job(self, tenant: str, source_object_id: str) -> JobRecord | None:
        """Return a job of the tenant that knows what is in a source."""
        ...

    async def find_tasks(self, query: TaskQuery) -> Sequence[TaskRecord]:
        """Return a page of tasks, in the query's order."""
        ...

    async def list_tasks(self, job_id: str) -> Sequence[TaskRecord]:
        """Return a job's tasks in the order of the plan."""
        ...

    async def list_tasks_of(self, job_ids: Sequence[str]) -> Sequence[TaskRecord]:
        """Return the tasks of jobs, of each in the order of its plan; at most 10,000 jobs."""
        ...

    async def list_attempts(self, job_id: str) -> Sequence[AttemptRecord]:
        """Return every attempt at a job's tasks, oldest first."""
        ...

    async def count_tasks(self, query: TaskQuery) -> int:
        """Count the matches of a query, all pages."""
        ...

    async def list_attempts_at(self, task_ids: Sequence[str]) -> Sequence[AttemptRecord]:
        """Return every attempt at the tasks, oldest first."""
        ...

    async def list_transitions(self, job_id: str) -> Sequence[TransitionRecord]:
        """Return a job's history, oldest first."""
        ...

    async def list_events(self, *, limit: int) -> Sequence[OutboxRecord]:
        """Return the oldest events of the outbox."""
        ...

    async def list_requests(
        self, tenant: str, request_ids: Sequence[str]
    ) -> Sequence[RequestRecord]:
        """Return what request ids were used for; those that are new are left out."""
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

    async def list_live_attempts(self, *engine_ids: str) -> Sequence[AttemptRecord]:
        """Return the live attempts on engines, oldest first."""
        ...

    async def list_silent_engines(self, before: datetime, *, limit: int) -> Sequence[EngineRecord]:
        """Return engines that are neither OFFLINE nor REVOKED and were last heard before then."""
        ...

    async def get_earliest_heartbeat(self) -> datetime | None:
        """Return when the longest silent engine was heard that is neither OFFLINE nor REVOKED."""
        ...

    async def list_replica_engines(self, replica_id: str, *, limit: int) -> Sequence[EngineRecord]:
        """Return engines whose session a replica holds, by id."""
        ...

    async def note_heartbeats(self, beats: Sequence[HeartbeatRecord]) -> Sequence[EngineRecord]:
        """Store when engines were heard; return those whose session is another by now.

        A transaction of its own, and no more than a hint: an engine that a change
        holds just then is passed over.
        """
        ...

    async def read_clock(self) -> datetime | None:
        """Return the time by the database server's clock; None when there is no server."""
        ...

    async def put_replica(self, replica: ReplicaRecord) -> None:
        """Insert or replace a replica; a transaction of its own."""
        ...

    async def remove_replica(self, replica_id: str) -> None:
        """Forget a replica; harmless when it is gone. A transaction of its own."""
        ...

    async def list_replicas(self, *, since: datetime) -> Sequence[ReplicaRecord]:
        """Return the replicas that were heard since, by id."""
        ...

    async def list_benchmarks(self, engine_id: str, *, limit: int) -> Sequence[BenchmarkRecord]:
        """Return an engine's benchmarks, the latest first."""
        ...

    async def list_speeds(self, *, engine_id: str = "") -> Sequence[SpeedRecord]:
        """Return how fast an engine has been, or every engine."""
        ...

    async def list_accounts(self) -> Sequence[AccountRecord]:
        """Return every tenant's accounts in the fair queue, by tenant and urgency."""
        ...

    async def list_lines(self) -> Sequence[Line]:
        """Return the lines in which a READY task may stand."""
        ...

    async def list_requirements(self) -> Sequence[str]:
        """Return the requirement sets of the lines."""
        ...

    async def list_line_heads(self, *, lines: Sequence[Line]) -> Sequence[LineHead]:
        """Return the first READY task of each line that has one, by line."""
        ...

    async def list_ready_heads(self, *, lines: Sequence[Line], limit: int) -> Sequence[TaskRecord]:
        """Return up to `limit` READY tasks of every line.

        The most urgent line comes first, and each in the order of (rank, id). The
        cost depends on the number of lines and on `limit`, not on their length.
        """
        ...

    async def count_ready_before(
        self, task: TaskRecord, *, requirements: Sequence[str], limit: int = 1000
    ) -> int:
        """Count READY tasks with one of the requirement sets before `task`, up to `limit`.

        More urgent lines come before, and in the same urgency lower (rank, id).
        """
        ...

    async def list_due_promotions(self, now: datetime, *, limit: int) -> Sequence[TaskRecord]:
        """Return tasks whose `promote_time` has come, the longest due first."""
        ...

    async def get_next_promote_time(self) -> datetime | None:
        """Return when the next task is to be promoted."""
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
