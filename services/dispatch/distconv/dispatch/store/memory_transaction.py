"""A change to a store in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from distconv.core.engine import EngineState
from distconv.core.task_states import TaskState
from distconv.dispatch.store.memory_tables import Tables, by_time, expiry, live, tasks_of
from distconv.dispatch.store.records import (
    AttemptRecord,
    EngineRecord,
    GarbageRecord,
    JobRecord,
    OutboxRecord,
    RequestRecord,
    TaskRecord,
    TransitionRecord,
)


class MemoryTransaction:
    """One change to a MemoryStore."""

    def __init__(self, tables: Tables) -> None:
        self._t = tables

    async def get_job(self, job_id: str) -> JobRecord | None:
        """Return a job."""
        return self._t.jobs.get(job_id)

    async def get_task(self, task_id: str) -> TaskRecord | None:
        """Return a task."""
        return self._t.tasks.get(task_id)

    async def get_claimable_task(self, task_id: str) -> TaskRecord | None:
        """Return a task that is READY."""
        task = self._t.tasks.get(task_id)
        return task if task is not None and task.state is TaskState.READY else None

    async def get_attempt(self, attempt_id: str) -> AttemptRecord | None:
        """Return an attempt."""
        return self._t.attempts.get(attempt_id)

    async def get_engine(self, engine_id: str) -> EngineRecord | None:
        """Return an engine."""
        return self._t.engines.get(engine_id)

    async def get_request(self, tenant: str, request_id: str) -> RequestRecord | None:
        """Return what a request id was used for."""
        return self._t.requests.get((tenant, request_id))

    async def list_tasks(self, job_id: str) -> Sequence[TaskRecord]:
        """Return a job's tasks in the order of the plan."""
        return tasks_of(self._t, job_id)

    async def list_live_attempts(
        self, *, job_id: str = "", engine_id: str = ""
    ) -> Sequence[AttemptRecord]:
        """Return the live attempts of a job or of an engine."""
        return by_time(
            a
            for a in live(self._t)
            if (job_id and a.job_id == job_id) or (engine_id and a.engine_id == engine_id)
        )

    async def renew_leases(
        self, *, engine_id: str, tokens: dict[str, int], expire_time: datetime
    ) -> Sequence[AttemptRecord]:
        """Push on the leases that still hold."""
        renewed = []
        for attempt in [self._t.attempts.get(key) for key in tokens]:
            if (
                attempt is None
                or attempt.lease_expire_time is None
                or attempt.engine_id != engine_id
                or attempt.fencing_token != tokens[attempt.id]
            ):
                continue
            later = max(attempt.lease_expire_time, expire_time)
            held = replace(attempt, lease_expire_time=later)
            self._t.put(self._t.attempts, held.id, held)
            renewed.append(held)
        return renewed

    async def extend_leases(self, *, expire_time: datetime) -> int:
        """Push every earlier expiry on."""
        early = [a for a in live(self._t) if expiry(a) < expire_time]
        for attempt in early:
            self._t.put(
                self._t.attempts, attempt.id, replace(attempt, lease_expire_time=expire_time)
            )
        return len(early)

    async def take_engines_offline(self) -> int:
        """Mark every engine as OFFLINE."""
        kept = (EngineState.OFFLINE, EngineState.REVOKED)
        present = [e for e in self._t.engines.values() if e.state not in kept]
        for engine in present:
            offline = replace(engine, state=EngineState.OFFLINE, session_id="", connect_time=None)
            self._t.put(self._t.engines, engine.id, offline)
        return len(present)

    async def add_job(self, job: JobRecord) -> None:
        """Insert a job."""
        self._t.insert(self._t.jobs, job.id, job)

    async def add_task(self, task: TaskRecord) -> None:
        """Insert a task."""
        self._t.put(self._t.requirements, task.requirement, None)
        self._t.insert(self._t.tasks, task.id, task)

    async def add_attempt(self, attempt: AttemptRecord) -> None:
        """Insert an attempt."""
        self._t.insert(self._t.attempts, attempt.id, attempt)

    async def add_transition(self, transition: TransitionRecord) -> None:
        """Append to a job's history."""
        self._t.append(self._t.transitions, transition)

    async def add_event(self, event: OutboxRecord) -> None:
        """Append to the outbox."""
        self._t.append(self._t.events, event)

    async def add_request(self, request: RequestRecord) -> None:
        """Insert what a request id was used for."""
        self._t.insert(self._t.requests, (request.tenant, request.request_id), request)

    async def save_job(self, job: JobRecord) -> None:
        """Replace a job."""
        self._t.put(self._t.jobs, job.id, job)

    async def save_task(self, task: TaskRecord) -> None:
        """Replace a task."""
        self._t.put(self._t.tasks, task.id, task)

    async def save_attempt(self, attempt: AttemptRecord) -> None:
        """Replace an attempt."""
        self._t.put(self._t.attempts, attempt.id, attempt)

    async def put_engine(self, engine: EngineRecord) -> None:
        """Insert or replace an engine."""
        self._t.put(self._t.engines, engine.id, engine)

    async def put_garbage(self, garbage: GarbageRecord) -> None:
        """Insert or replace an object to delete."""
        self._t.put(self._t.garbage, garbage.object_id, garbage)

    async def remove_garbage(self, object_id: str) -> None:
        """Forget an object to delete."""
        self._t.remove(self._t.garbage, object_id)
