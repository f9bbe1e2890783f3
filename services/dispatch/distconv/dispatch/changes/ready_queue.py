"""Give tasks their places in the queue as they become ready, and keep their tenants' accounts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from distconv.core import fair_queue
from distconv.core.task_states import TaskKind, TaskState
from distconv.core.urgency import UrgencyPolicy, urgency
from distconv.core.work import UNITS_PER_CORE_S, Work, probe_work, transcode_work
from distconv.dispatch.store.altered import altered
from distconv.dispatch.store.records import JobRecord, TaskRecord
from distconv.dispatch.store.transaction import Transaction

# How fast an engine is taken to be where a deadline's slack is counted: a usual machine's cores.
_USUAL_CORES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePolicy:
    """How tasks are ranked: the tenants' weights (1 unless listed), and how urgency rises."""

    weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    urgency: UrgencyPolicy = field(default_factory=UrgencyPolicy)


def work_of(task: TaskRecord, job: JobRecord) -> Work:
    """Return how much work a task of a job is, from what was measured."""
    if task.kind is TaskKind.PROBE:
        return probe_work(job.source_size_bytes)
    return transcode_work(job.profile, job.source_size_bytes, job.source_media)


class ReadyQueue:
    """Rank tasks within one change; what it read of the accounts holds for that change.

    A task that has a cost was charged to its tenant's account of its urgency.
    """

    def __init__(self, tx: Transaction, policy: QueuePolicy, now: datetime) -> None:
        self._tx = tx
        self._policy = policy
        self._now = now
        self._virtual_times: dict[int, float] = {}

    async def enter(self, task: TaskRecord, job: JobRecord) -> TaskRecord:
        """Return a task that becomes READY with its place; its tenant pays the first time.

        One that was charged before (a retry, a lost lease, a pause) comes to the
        front at least, and no further than where it stood.
        """
        work = work_of(task, job)
        placed = self.urgent(
            task,
            priority=task.priority,
            deadline=job.deadline,
            cost=work.cost,
            height=work.height,
            ready_time=self._now,
        )
        if task.cost and placed.urgency == task.urgency:
            return altered(placed, rank=max(task.rank, await self._virtual_time(task.urgency)))
        return await self._moved(task, placed)

    async def reprioritise(
        self, task: TaskRecord, *, priority: int, deadline: datetime | None
    ) -> TaskRecord:
        """Return a task with another priority and deadline, in its place among its new equals."""
        placed = self.urgent(task, priority=priority, deadline=deadline)
        if not task.cost or placed.urgency == task.urgency:
            return placed
        return await self._moved(task, placed)

    async def _moved(self, task: TaskRecord, placed: TaskRecord) -> TaskRecord:
        """Rank a task among those of another urgency, or for the first time."""
        if task.cost and task.fencing_token:
            # It was served once: it comes back to the front, and nobody pays for it again.
            return altered(placed, rank=await self._virtual_time(placed.urgency))
        await self.leave_unserved(task)
        return altered(placed, rank=await self._charge(placed))

    def urgent(
        self, task: TaskRecord, *, priority: int, deadline: datetime | None, **fields: Any
    ) -> TaskRecord:
        """Return a task with the urgency that its priority and deadline give it now.

        Other fields are set on the way: jobs come by the thousand, and so does this.
        """
        cost = fields.get("cost", task.cost)
        found = urgency(
            self._policy.urgency,
            priority=priority,
            deadline=deadline,
            needed=timedelta(seconds=min(cost / (UNITS_PER_CORE_S * _USUAL_CORES), 1e8)),
            now=self._now,
        )
        return altered(
            task,
            priority=priority,
            deadline=deadline,
            urgency=found.value,
            promote_time=found.change_time if task.state is TaskState.READY else None,
            **fields,
        )

    async def leave_unserved(self, task: TaskRecord) -> None:
        """Give a tenant back what a task was charged that will never run: it was cancelled."""
        if not task.cost or task.fencing_token:
            return
        account = await self._tx.get_account(task.tenant, task.urgency)
        finish_rank = fair_queue.refund(
            finish_rank=account.finish_rank, cost=task.cost, weight=self._weight(task.tenant)
        )
        await self._tx.put_account(replace(account, finish_rank=finish_rank))

    async def reworked(self, task: TaskRecord, job: JobRecord) -> TaskRecord:
        """Return a task that has its place with the work that its job asks for by now.

        It keeps its rank; its tenant pays the difference, or is given it back
        unless the task was given out before: what was used stays paid.
        """
        work = work_of(task, job)
        if not task.cost or (work.cost, work.height) == (task.cost, task.height):
            return task  # one without a place is worked out when it enters
        if work.cost > task.cost or not task.fencing_token:
            account = await self._tx.get_account(task.tenant, task.urgency)
            weight = self._weight(task.tenant)
            before = fair_queue.refund(
                finish_rank=account.finish_rank, cost=task.cost, weight=weight
            )
            charged = fair_queue.charge(
                virtual_time=0.0, finish_rank=before, cost=work.cost, weight=weight
            )
            await self._tx.put_account(replace(account, finish_rank=charged.finish_rank))
        return self.urgent(
            task,
            priority=task.priority,
            deadline=task.deadline,
            cost=work.cost,
            height=work.height,
        )

    async def taken(self, tasks: Sequence[TaskRecord]) -> None:
        """Let virtual time come to the tasks that were claimed."""
        highest: dict[tuple[str, int], float] = {}
        for task in tasks:
            key = (task.tenant, task.urgency)
            highest[key] = max(task.rank, highest.get(key, 0.0))
        for key, rank in sorted(highest.items()):
            account = await self._tx.get_account(*key)
            claimed = fair_queue.advance(claimed_rank=account.claimed_rank, rank=rank)
            if claimed != account.claimed_rank:
                await self._tx.put_account(replace(account, claimed_rank=claimed))

    async def _charge(self, task: TaskRecord) -> float:
        """Have a tenant pay for a task; return the task's rank."""
        account = await self._tx.get_account(task.tenant, task.urgency)
        charged = fair_queue.charge(
            virtual_time=await self._virtual_time(task.urgency),
            finish_rank=account.finish_rank,
            cost=task.cost,
            weight=self._weight(task.tenant),
        )
        await self._tx.put_account(altered(account, finish_rank=charged.finish_rank))
        return charged.rank

    async def _virtual_time(self, urgency: int) -> float:
        if urgency not in self._virtual_times:
            self._virtual_times[urgency] = await self._tx.get_virtual_time(urgency)
        return self._virtual_times[urgency]

    def _weight(self, tenant: str) -> float:
        return self._policy.weights.get(tenant, 1.0)
