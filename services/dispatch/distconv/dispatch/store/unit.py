"""A unit of work: one or many changes that are read for together and written together.

What is read is locked and remembered; what is written is remembered too, and
goes to the database in bulk at the end. So a body's writes can be dropped
without touching what the bodies before it wrote, and a later body sees them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from distconv.core.task_states import TaskState
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.queries import Line
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
from distconv.dispatch.store.rows import Loaded
from distconv.dispatch.store.unit_shelves import UnitShelves, unknown

_R = TypeVar("_R")


class Unit(UnitShelves):
    """Implement `Transaction` on any database that has `Rows`."""

    # --- reading ----------------------------------------------------------------------------

    async def get_job(self, job_id: str) -> JobRecord | None:
        """Return a job and lock it."""
        if not self._jobs.knows(job_id):
            await self.prefetch(Keys(jobs=(job_id,)))
        return self._jobs.get(job_id)

    async def get_task(self, task_id: str) -> TaskRecord | None:
        """Return a task and lock it."""
        if not self._tasks.knows(task_id):
            await self.prefetch(Keys(tasks=(task_id,)))
        return self._tasks.get(task_id)

    async def get_attempt(self, attempt_id: str) -> AttemptRecord | None:
        """Return an attempt and lock it."""
        if not self._attempts.knows(attempt_id):
            await self.prefetch(Keys(attempts=(attempt_id,)))
        return self._attempts.get(attempt_id)

    async def get_engine(self, engine_id: str) -> EngineRecord | None:
        """Return an engine and lock it."""
        if not self._engines.knows(engine_id):
            await self.prefetch(Keys(engines=(engine_id,)))
        return self._engines.get(engine_id)

    async def get_account(self, tenant: str, urgency: int) -> AccountRecord:
        """Return a tenant's account of an urgency and lock it."""
        key = (tenant, urgency)
        if not self._accounts.knows(key):
            # All of a tenant's are locked in one order, so that no two changes wait in a ring.
            await self.prefetch(Keys(tenants=(tenant,)))
        if not self._accounts.knows(key):
            self._take(Loaded(accounts=[await self._rows.load_account(key)]))
        return self._accounts.get(key) or AccountRecord(tenant=tenant, urgency=urgency)

    async def get_request(self, tenant: str, request_id: str) -> RequestRecord | None:
        """Return what a request id was used for."""
        key = (tenant, request_id)
        if not self._requests.knows(key):
            await self.prefetch(Keys(requests=(key,)))
        return self._requests.get(key)

    async def list_requests(
        self, tenant: str, request_ids: Sequence[str]
    ) -> Sequence[RequestRecord]:
        """Return what request ids were used for; those that are new are left out."""
        keys = [(tenant, request_id) for request_id in request_ids]
        await self.prefetch(Keys(requests=tuple(keys)))
        return [request for request in map(self._requests.get, keys) if request is not None]

    async def get_speed(
        self, *, engine_id: str, codec: str, height_class: int, build_id: str
    ) -> SpeedRecord | None:
        """Return how fast an engine has been, and lock it."""
        key = (engine_id, codec, height_class, build_id)
        if not self._speeds.knows(key):
            self._speeds.take(key, await self._rows.load_speed(key))
        return self._speeds.get(key)

    async def get_virtual_time(self, urgency: int) -> float:
        """Return the rank at which a newcomer of an urgency begins."""
        if urgency not in self._fronts:
            self._fronts[urgency] = await self._rows.load_front(urgency)
        front = self._fronts[urgency]
        own = (a.claimed_rank for a in self._accounts.rows() if a.urgency == urgency)
        return front.virtual_time(max(own, default=0.0))

    async def get_garbage(self, object_id: str) -> GarbageRecord | None:
        """Return an object to delete and lock it."""
        if not self._garbage.knows(object_id):
            await self.prefetch(Keys(garbage=(object_id,)))
        return self._garbage.get(object_id)

    async def is_object_needed(self, tenant: str, object_id: str) -> bool:
        """Tell whether the object is the source of a job that has not ended."""
        known = [job for job in self._jobs.rows() if job.source_object_id == object_id]
        if any(job.tenant == tenant and not job.state.is_terminal for job in known):
            return True
        ended = {job.id for job in known}
        return any(key not in ended for key in await self._rows.load_readers(tenant, object_id))

    async def claim_tasks(self, task_ids: Sequence[str]) -> Sequence[TaskRecord]:
        """Return those of the tasks that are READY, and lock them and their jobs."""
        fresh = unknown(self._tasks, tuple(task_ids))
        if fresh:
            # What another change holds stays unknown: it may be free for the next body.
            self._take(await self._rows.claim(sorted(fresh)))
        found = [self._tasks.get(key) for key in task_ids]
        return [task for task in found if task is not None and task.state is TaskState.READY]

    async def list_tasks(self, job_id: str) -> Sequence[TaskRecord]:
        """Return a job's tasks in the order of the plan, and lock them."""
        if ("plan", job_id) not in self._asked:
            self._take(Loaded(tasks=await self._rows.load_tasks_of([job_id])))
            self._asked.add(("plan", job_id))
        tasks = _present(self._tasks.get, self._tasks_of.get(job_id, ()))
        return sorted(tasks, key=lambda task: task.ordinal)

    async def list_live_attempts(
        self, *, job_id: str = "", engine_id: str = ""
    ) -> Sequence[AttemptRecord]:
        """Return the live attempts of a job or of an engine, and lock them."""
        asked = ("live", job_id, engine_id)
        if asked not in self._asked:
            found = await self._rows.load_live_attempts(job_id=job_id, engine_id=engine_id)
            self._take(Loaded(attempts=found))
            self._asked.add(asked)
        owned = _present(self._attempts.get, self._attempts_of.get(job_id or engine_id, ()))
        live = [attempt for attempt in owned if attempt.lease_expire_time is not None]
        return sorted(live, key=lambda a: (a.create_time, a.fencing_token, a.id))

    # --- writing ----------------------------------------------------------------------------

    async def renew_leases(
        self, *, engine_id: str, tokens: dict[str, int], expire_time: datetime
    ) -> Sequence[AttemptRecord]:
        """Push on the leases that still hold and that no other change is at work on."""
        await self.prefetch(Keys(leases=tuple(sorted(tokens))))
        told = _present(lambda key: self._attempts.get(key) or self._held_leases.get(key), tokens)
        held = []
        for attempt in told:
            expiry = attempt.lease_expire_time
            if (
                expiry is None
                or attempt.engine_id != engine_id
                or attempt.fencing_token != tokens[attempt.id]
            ):
                continue
            if expiry < expire_time and self._attempts.knows(attempt.id):
                renewed = replace(attempt, lease_expire_time=expire_time)
                self._attempts.put(attempt.id, renewed)
                held.append(renewed)
            else:
                held.append(attempt)
        return held

    async def add_job(self, job: JobRecord) -> None:
        """Insert a job."""
        self._jobs.add(job.id, job)

    async def add_task(self, task: TaskRecord) -> None:
        """Insert a task, and its line when that is new."""
        self._tasks.add(task.id, task)
        self._tasks_of.setdefault(task.job_id, set()).add(task.id)

    async def add_attempt(self, attempt: AttemptRecord) -> None:
        """Insert an attempt."""
        self._attempts.add(attempt.id, attempt)
        self._place(attempt)

    async def add_transition(self, transition: TransitionRecord) -> None:
        """Append to a job's history."""
        self._lists.transitions.append(transition)

    async def add_event(self, event: OutboxRecord) -> None:
        """Append to the outbox."""
        self._lists.events.append(event)

    async def add_benchmark(self, benchmark: BenchmarkRecord) -> None:
        """Append to an engine's benchmarks."""
        self._lists.benchmarks.append(benchmark)

    async def add_request(self, request: RequestRecord) -> None:
        """Insert what a request id was used for."""
        self._requests.add((request.tenant, request.request_id), request)

    async def save_job(self, job: JobRecord) -> None:
        """Replace a job."""
        self._jobs.put(job.id, job)

    async def save_task(self, task: TaskRecord) -> None:
        """Replace a task."""
        self._tasks.put(task.id, task)

    async def save_attempt(self, attempt: AttemptRecord) -> None:
        """Replace an attempt."""
        self._attempts.put(attempt.id, attempt)

    async def put_engine(self, engine: EngineRecord) -> None:
        """Insert or replace an engine."""
        if await self.get_engine(engine.id) is None:
            self._engines.add(engine.id, engine)
        else:
            self._engines.put(engine.id, engine)

    async def put_account(self, account: AccountRecord) -> None:
        """Replace a tenant's account of an urgency."""
        await self.get_account(account.tenant, account.urgency)
        self._accounts.put((account.tenant, account.urgency), account)

    async def put_speed(self, speed: SpeedRecord) -> None:
        """Insert or replace how fast an engine has been."""
        self._speeds.put((speed.engine_id, speed.codec, speed.height_class, speed.build_id), speed)

    async def put_garbage(self, garbage: GarbageRecord) -> None:
        """Insert or replace an object to delete; a later `final_time` stays."""
        known = await self.get_garbage(garbage.object_id)
        if known is not None and known.final_time > garbage.final_time:
            garbage = replace(garbage, final_time=known.final_time)
        self._garbage.put(garbage.object_id, garbage)

    async def remove_garbage(self, object_id: str) -> None:
        """Forget an object to delete."""
        self._garbage.put(object_id, None)

    async def remove_events(self, numbers: Sequence[int]) -> None:
        """Take events out of the outbox."""
        self._lists.removed_events.extend(numbers)

    async def remove_jobs(self, job_ids: Sequence[str]) -> None:
        """Remove jobs with everything about them."""
        for job_id in job_ids:
            self._jobs.put(job_id, None)

    async def remove_expired_requests(self, now: datetime, *, limit: int) -> int:
        """Forget requests whose time has come."""
        found = await self._rows.load_expired_requests(now, limit)
        keys = [(request.tenant, request.request_id) for request in found]
        for key, request in zip(keys, found, strict=True):
            self._requests.take(key, request)
            self._requests.put(key, None)
        return len(keys)

    async def remove_idle_lines(self, *, unused_since: datetime) -> int:
        """Forget lines without READY tasks that nobody used since."""
        idle: Sequence[Line] = await self._rows.load_idle_lines(unused_since)
        self._lists.idle_lines.extend(idle)
        return len(idle)


def _present(get: Callable[[str], _R | None], keys: Iterable[str]) -> list[_R]:
    return [row for row in map(get, keys) if row is not None]
