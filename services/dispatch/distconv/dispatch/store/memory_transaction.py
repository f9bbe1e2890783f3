"""A change to a store in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from distconv.core.engine import EngineState
from distconv.core.task_states import TaskState
from distconv.dispatch.store.memory_tables import Tables, by_time, expiry, live, tasks_of
from distconv.dispatch.store.queries import Line
from distconv.dispatch.store.records import (
    AttemptRecord,
    BenchmarkRecord,
    EngineRecord,
    GarbageRecord,
    JobRecord,
    OutboxRecord,
    RequestRecord,
    SpeedRecord,
    TaskRecord,
    TenantRecord,
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

    async def claim_tasks(self, task_ids: Sequence[str]) -> Sequence[TaskRecord]:
        """Return those of the tasks that are READY."""
        found = [self._t.tasks.get(key) for key in task_ids]
        return [t for t in found if t is not None and t.state is TaskState.READY]

    async def get_tenant(self, tenant: str) -> TenantRecord:
        """Return a tenant's place in the fair queue."""
        return self._t.tenants.get(tenant) or TenantRecord(tenant=tenant)

    async def get_virtual_time(self) -> float:
        """Return the highest rank of a task that was ever taken."""
        return max((t.claimed_rank for t in self._t.tenants.values()), default=0.0)

    async def get_speed(
        self, *, engine_id: str, codec: str, height_class: int, build_id: str
    ) -> SpeedRecord | None:
        """Return how fast an engine has been."""
        return self._t.speeds.get((engine_id, codec, height_class, build_id))

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
        self._t.insert(self._t.tasks, task.id, task)
        self._stand(task)

    def _stand(self, task: TaskRecord) -> None:
        if task.state is TaskState.READY:
            line = Line(task.requirement, task.urgency)
            self._t.put(self._t.lines, line, task.update_time)

    async def add_attempt(self, attempt: AttemptRecord) -> None:
        """Insert an attempt."""
        self._t.insert(self._t.attempts, attempt.id, attempt)

    async def add_transition(self, transition: TransitionRecord) -> None:
        """Append to a job's history."""
        self._t.append(self._t.transitions, transition)

    async def add_event(self, event: OutboxRecord) -> None:
        """Append to the outbox."""
        self._t.event_count += 1
        number = self._t.event_count
        self._t.put(self._t.events, number, replace(event, number=number))

    async def add_request(self, request: RequestRecord) -> None:
        """Insert what a request id was used for."""
        self._t.insert(self._t.requests, (request.tenant, request.request_id), request)

    async def save_job(self, job: JobRecord) -> None:
        """Replace a job."""
        self._t.put(self._t.jobs, job.id, job)

    async def save_task(self, task: TaskRecord) -> None:
        """Replace a task."""
        self._t.put(self._t.tasks, task.id, task)
        self._stand(task)

    async def save_attempt(self, attempt: AttemptRecord) -> None:
        """Replace an attempt."""
        self._t.put(self._t.attempts, attempt.id, attempt)

    async def put_engine(self, engine: EngineRecord) -> None:
        """Insert or replace an engine."""
        self._t.put(self._t.engines, engine.id, engine)

    async def put_tenant(self, tenant: TenantRecord) -> None:
        """Replace a tenant's place in the fair queue."""
        self._t.put(self._t.tenants, tenant.tenant, tenant)

    async def put_speed(self, speed: SpeedRecord) -> None:
        """Insert or replace how fast an engine has been."""
        key = (speed.engine_id, speed.codec, speed.height_class, speed.build_id)
        self._t.put(self._t.speeds, key, speed)

    async def add_benchmark(self, benchmark: BenchmarkRecord) -> None:
        """Append to an engine's benchmarks."""
        self._t.append(self._t.benchmarks, benchmark)

    async def remove_events(self, numbers: Sequence[int]) -> None:
        """Take events out of the outbox."""
        for number in numbers:
            self._t.remove(self._t.events, number)

    async def remove_jobs(self, job_ids: Sequence[str]) -> None:
        """Remove jobs with everything about them."""
        gone = frozenset(job_ids)
        for table in (self._t.attempts, self._t.tasks):
            for key in [k for k, row in table.items() if row.job_id in gone]:
                self._t.remove(table, key)
        moves = self._t.transitions
        self._t.transitions = [move for move in moves if move.job_id not in gone]
        self._t.undo.append(lambda: setattr(self._t, "transitions", moves))
        for key in gone:
            self._t.remove(self._t.jobs, key)

    async def remove_expired_requests(self, now: datetime, *, limit: int) -> int:
        """Forget requests whose time has come."""
        due = [
            (r.expire_time, key)
            for key, r in self._t.requests.items()
            if r.expire_time is not None and r.expire_time <= now
        ]
        page = sorted(due)[:limit]
        for _, key in page:
            self._t.remove(self._t.requests, key)
        return len(page)

    async def remove_idle_lines(self, *, unused_since: datetime) -> int:
        """Forget lines without READY tasks that nobody used since."""
        held = {
            Line(t.requirement, t.urgency)
            for t in self._t.tasks.values()
            if t.state is TaskState.READY
        }
        idle = [
            line for line, used in self._t.lines.items() if line not in held and used < unused_since
        ]
        for line in idle:
            self._t.remove(self._t.lines, line)
        return len(idle)

    async def put_garbage(self, garbage: GarbageRecord) -> None:
        """Insert or replace an object to delete."""
        self._t.put(self._t.garbage, garbage.object_id, garbage)

    async def remove_garbage(self, object_id: str) -> None:
        """Forget an object to delete."""
        self._t.remove(self._t.garbage, object_id)
