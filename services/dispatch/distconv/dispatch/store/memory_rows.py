"""A transaction on a store in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from distconv.core.errors import AlreadyExistsError
from distconv.core.task_states import TaskState
from distconv.dispatch.store.front import Front, LineFront
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.memory_tables import LineUse, Tables, live, tasks_of
from distconv.dispatch.store.queries import Line
from distconv.dispatch.store.records import (
    AccountRecord,
    AttemptRecord,
    RequestRecord,
    SpeedRecord,
    TaskRecord,
)
from distconv.dispatch.store.rows import AccountKey, Loaded, SpeedKey, Writes
from distconv.dispatch.store.shelf import Written


class MemoryRows:
    """Read and write the tables of a MemoryStore; its lock is the lock of every row."""

    def __init__(self, tables: Tables) -> None:
        self._t = tables
        self.broken = False

    async def load(self, keys: Keys) -> Loaded:
        """Read what the keys name, with the jobs and tasks that belong to it."""
        attempts = _found(self._t.attempts, keys.attempts)
        tasks = _found(self._t.tasks, (*keys.tasks, *(a.task_id for a in attempts)))
        job_ids = (*keys.jobs, *(task.job_id for task in tasks))
        return Loaded(
            jobs=_found(self._t.jobs, job_ids),
            tasks=tasks,
            attempts=attempts + _found(self._t.attempts, keys.leases),
            engines=_found(self._t.engines, keys.engines),
            garbage=_found(self._t.garbage, keys.garbage),
            requests=_found(self._t.requests, keys.requests),
            accounts=[a for a in self._t.accounts.values() if a.tenant in keys.tenants],
        )

    async def load_tasks_of(self, job_ids: Sequence[str]) -> Sequence[TaskRecord]:
        """Read every task of jobs."""
        return [task for job_id in job_ids for task in tasks_of(self._t, job_id)]

    async def load_live_attempts(
        self, *, job_id: str = "", engine_id: str = ""
    ) -> Sequence[AttemptRecord]:
        """Read the live attempts of a job or of an engine."""
        return [
            a
            for a in live(self._t)
            if (job_id and a.job_id == job_id) or (engine_id and a.engine_id == engine_id)
        ]

    async def load_expired_requests(self, now: datetime, limit: int) -> Sequence[RequestRecord]:
        """Read requests whose time has come."""
        due = [
            (r.expire_time, key)
            for key, r in self._t.requests.items()
            if r.expire_time is not None and r.expire_time <= now
        ]
        return [self._t.requests[key] for _, key in sorted(due)[:limit]]

    async def load_speed(self, key: SpeedKey) -> SpeedRecord | None:
        """Read how fast an engine has been."""
        return self._t.speeds.get(key)

    async def load_readers(self, tenant: str, object_id: str) -> Sequence[str]:
        """Read the ids of the jobs that have not ended and whose source is the object."""
        return [
            j.id
            for j in self._t.jobs.values()
            if j.tenant == tenant and j.source_object_id == object_id and not j.state.is_terminal
        ]

    async def load_idle_lines(self, unused_since: datetime) -> Sequence[Line]:
        """Read the lines without READY tasks that nobody used since."""
        held = {
            Line(t.requirement, t.urgency)
            for t in self._t.tasks.values()
            if t.state is TaskState.READY
        }
        return [
            line
            for line, use in self._t.lines.items()
            if line not in held and use.use_time < unused_since
        ]

    async def claim(self, task_ids: Sequence[str]) -> Loaded:
        """Read those of the tasks that are READY, and their jobs."""
        tasks = [t for t in _found(self._t.tasks, task_ids) if t.state is TaskState.READY]
        return Loaded(tasks=tasks, jobs=_found(self._t.jobs, [task.job_id for task in tasks]))

    async def load_account(self, key: AccountKey) -> AccountRecord:
        """Read an account."""
        tenant, urgency = key
        return self._t.accounts.get(key) or AccountRecord(tenant=tenant, urgency=urgency)

    async def load_front(self, urgency: int) -> Front:
        """Read how far the tasks of an urgency have been served."""
        heads: dict[Line, float] = {}
        for task in self._t.tasks.values():
            if task.state is TaskState.READY and task.urgency == urgency:
                line = Line(task.requirement, task.urgency)
                heads[line] = min(task.rank, heads.get(line, task.rank))
        accounts = (a for a in self._t.accounts.values() if a.urgency == urgency)
        return Front.of(
            max((a.claimed_rank for a in accounts), default=0.0),
            (
                LineFront(head_rank=heads.get(line), claim_time=use.claim_time)
                for line, use in self._t.lines.items()
                if line.urgency == urgency
            ),
        )

    async def write(self, writes: Writes) -> None:
        """Write everything, or nothing when an id stands already."""
        tables: list[tuple[dict[Any, Any], list[Any]]] = [
            (self._t.jobs, writes.jobs),
            (self._t.tasks, writes.tasks),
            (self._t.attempts, writes.attempts),
            (self._t.engines, writes.engines),
            (self._t.accounts, writes.accounts),
            (self._t.requests, writes.requests),
            (self._t.speeds, writes.speeds),
            (self._t.garbage, writes.garbage),
        ]
        for table, written in tables:
            _refuse_repeated(table, written)
        for table, written in tables:
            for row in written:
                if row.new is None:
                    table.pop(row.key, None)
                else:
                    table[row.key] = row.new
        self._remove_with({row.key for row in writes.jobs if row.new is None})
        self._t.transitions.extend(writes.transitions)
        self._t.benchmarks.extend(writes.benchmarks)
        for event in writes.events:
            self._t.event_count += 1
            self._t.events[self._t.event_count] = replace(event, number=self._t.event_count)
        for number in writes.removed_events:
            self._t.events.pop(number, None)
        for line in writes.idle_lines:
            self._t.lines.pop(line, None)
        for row in writes.tasks:
            if row.new is not None:
                self._note_use(row.new)

    def _note_use(self, task: TaskRecord) -> None:
        line, lines = Line(task.requirement, task.urgency), self._t.lines
        if task.state is TaskState.READY:
            known = lines.get(line)
            claim_time = None if known is None else known.claim_time
            lines[line] = LineUse(use_time=task.update_time, claim_time=claim_time)
        elif task.state is TaskState.LEASED and line in lines:
            lines[line] = replace(lines[line], claim_time=task.update_time)

    def _remove_with(self, job_ids: set[str]) -> None:
        if not job_ids:
            return
        for table in (self._t.attempts, self._t.tasks):
            for key in [key for key, row in table.items() if row.job_id in job_ids]:
                del table[key]
        self._t.transitions = [move for move in self._t.transitions if move.job_id not in job_ids]


def _found(table: dict[Any, Any], keys: Sequence[Any]) -> list[Any]:
    return [table[key] for key in dict.fromkeys(keys) if key in table]


def _refuse_repeated(table: dict[Any, Any], written: Sequence[Written[Any, Any]]) -> None:
    for row in written:
        if row.is_new and row.key in table:
            raise AlreadyExistsError(f"a record of the id {row.key} stands in memory already")
