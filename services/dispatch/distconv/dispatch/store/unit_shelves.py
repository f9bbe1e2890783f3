"""What a unit of work has read and written so far."""

from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from distconv.dispatch.store.front import Front
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.records import (
    AccountRecord,
    AttemptRecord,
    EngineRecord,
    GarbageRecord,
    JobRecord,
    RequestRecord,
    SpeedRecord,
    TaskRecord,
)
from distconv.dispatch.store.rows import (
    AccountKey,
    Loaded,
    RequestKey,
    Rows,
    SpeedKey,
    Writes,
)
from distconv.dispatch.store.shelf import Shelf

_K = TypeVar("_K", bound=Hashable)


class UnitShelves:
    """Remember rows, forget what a body wrote that raised, and load what is not known yet."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._jobs: Shelf[str, JobRecord] = Shelf("job")
        self._tasks: Shelf[str, TaskRecord] = Shelf("task")
        self._attempts: Shelf[str, AttemptRecord] = Shelf("attempt")
        self._engines: Shelf[str, EngineRecord] = Shelf("engine")
        self._accounts: Shelf[AccountKey, AccountRecord] = Shelf("account")
        self._requests: Shelf[RequestKey, RequestRecord] = Shelf("request")
        self._speeds: Shelf[SpeedKey, SpeedRecord] = Shelf("speed")
        self._garbage: Shelf[str, GarbageRecord] = Shelf("piece of garbage")
        self._shelves: tuple[Shelf[Any, Any], ...] = (
            self._jobs,
            self._tasks,
            self._attempts,
            self._engines,
            self._accounts,
            self._requests,
            self._speeds,
            self._garbage,
        )
        # What is only ever appended, and how much of it is kept.
        self._lists = Writes()
        self._appended: tuple[list[Any], ...] = (
            self._lists.transitions,
            self._lists.events,
            self._lists.benchmarks,
            self._lists.removed_events,
            self._lists.idle_lines,
        )
        self._kept_counts = [0] * len(self._appended)
        # Queries that were answered: what they found is on the shelves, and locked.
        self._asked: set[Hashable] = set()
        self._tasks_of: dict[str, set[str]] = {}
        self._attempts_of: dict[str, set[str]] = {}
        self._fronts: dict[int, Front] = {}
        # Leases that another change holds, as they were read: neither locked nor to be written.
        self._held_leases: dict[str, AttemptRecord] = {}

    @property
    def broken(self) -> bool:
        """Tell that a statement failed, so that nothing can be committed any more."""
        return self._rows.broken

    def keep(self) -> None:
        """Keep what was written since the last `keep` or `drop`: the body ended well."""
        for shelf in self._shelves:
            shelf.keep()
        self._kept_counts = [len(appended) for appended in self._appended]

    def drop(self) -> None:
        """Forget what was written since the last `keep` or `drop`: the body raised."""
        for shelf in self._shelves:
            shelf.drop()
        for appended, count in zip(self._appended, self._kept_counts, strict=True):
            del appended[count:]

    def writes(self) -> Writes:
        """Return what is kept, to be written."""
        return replace(
            self._lists,
            jobs=self._jobs.written(),
            tasks=self._tasks.written(),
            attempts=self._attempts.written(),
            engines=self._engines.written(),
            accounts=self._accounts.written(),
            requests=self._requests.written(),
            speeds=self._speeds.written(),
            garbage=self._garbage.written(),
        )

    async def prefetch(self, keys: Keys) -> None:
        """Read and lock what will be asked for, in few statements."""
        wanted = Keys(
            jobs=unknown(self._jobs, keys.jobs),
            tasks=unknown(self._tasks, keys.tasks),
            attempts=unknown(self._attempts, keys.attempts),
            engines=unknown(self._engines, keys.engines),
            tenants=tuple(t for t in keys.tenants if ("accounts", t) not in self._asked),
            leases=tuple(
                key for key in unknown(self._attempts, keys.leases) if key not in self._held_leases
            ),
            garbage=unknown(self._garbage, keys.garbage),
            requests=unknown(self._requests, keys.requests),
        )
        if wanted != Keys():
            self._take(await self._rows.load(wanted), wanted)
        if keys.with_plan:
            await self._prefetch_plans(keys)

    async def _prefetch_plans(self, keys: Keys) -> None:
        known = [self._jobs.get(key) for key in keys.jobs]
        held = [self._attempts.get(key) for key in keys.attempts]
        jobs = {job.id for job in known if job} | {a.job_id for a in held if a}
        fresh = sorted(job_id for job_id in jobs if ("plan", job_id) not in self._asked)
        if fresh:
            self._take(Loaded(tasks=await self._rows.load_tasks_of(fresh)))
            self._asked.update(("plan", job_id) for job_id in fresh)

    def _take(self, loaded: Loaded, wanted: Keys | None = None) -> None:
        for job in loaded.jobs:
            self._jobs.take(job.id, job)
        for task in loaded.tasks:
            self._tasks.take(task.id, task)
            self._tasks_of.setdefault(task.job_id, set()).add(task.id)
        for attempt in loaded.attempts:
            self._attempts.take(attempt.id, attempt)
            self._place(attempt)
        for engine in loaded.engines:
            self._engines.take(engine.id, engine)
        for account in loaded.accounts:
            self._accounts.take((account.tenant, account.urgency), account)
        for garbage in loaded.garbage:
            self._garbage.take(garbage.object_id, garbage)
        for request in loaded.requests:
            self._requests.take((request.tenant, request.request_id), request)
        self._held_leases |= {attempt.id: attempt for attempt in loaded.held_leases}
        if wanted is not None:
            self._take_absent(wanted)

    def _take_absent(self, wanted: Keys) -> None:
        """Know that what was asked for and not found is not there."""
        shelves: list[tuple[Shelf[Any, Any], Iterable[Hashable]]] = [
            (self._jobs, wanted.jobs),
            (self._tasks, wanted.tasks),
            (self._attempts, wanted.attempts),
            (self._attempts, [key for key in wanted.leases if key not in self._held_leases]),
            (self._engines, wanted.engines),
            (self._garbage, wanted.garbage),
            (self._requests, wanted.requests),
        ]
        for shelf, keys in shelves:
            for key in keys:
                shelf.take(key, None)
        self._asked.update(("accounts", tenant) for tenant in wanted.tenants)

    def _place(self, attempt: AttemptRecord) -> None:
        for owner in (attempt.job_id, attempt.engine_id):
            self._attempts_of.setdefault(owner, set()).add(attempt.id)


def unknown(shelf: Shelf[_K, Any], keys: tuple[_K, ...]) -> tuple[_K, ...]:
    """Return those of the keys of which it is not known what stands there."""
    return tuple(key for key in keys if not shelf.knows(key))
