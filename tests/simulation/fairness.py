"""Measure the tenants' shares while every one of them has work that waits."""

from collections import defaultdict
from collections.abc import Callable

from tests.simulation.ledger import Invariant, Ledger
from tests.simulation.replica import WEIGHTS

from distconv.core.task_states import TaskState
from distconv.dispatch.store.records import TaskRecord
from distconv.dispatch.store.rows import Writes

# Start-time fair queuing bounds what two backlogged flows were served, divided by their weights,
# to l₁/w₁ + l₂/w₂ apart, l being the longest packet. Several engines take several tasks at once,
# of heads that were read before others were charged: so many times the bound is still right.
_SLACK = 1.5
# By then every job of such a world was created: no tenant is served for want of another's jobs.
_ALL_THERE_S = 2.0


class FairShare:
    """Compare what tenants were given since all of them had work that waited.

    Engines that cannot, or had better not, do one kind of work take another kind
    out of turn rather than nothing. Shares are counted anew then; within a kind
    nothing may be taken out of turn, but before what a scheduler holds back for an
    engine that is busy and faster: that keeps its place, and others pass by it.
    Whose task passed by had more than their share until the others have come as
    far in rank: shares are counted from there.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # Only worlds whose jobs are all alike tell shares from priorities.
        self.watching = False
        # Tells whether a scheduler holds a task back, by the task's id.
        self.is_held: Callable[[str], bool] = _nothing_is
        self._ready: dict[str, TaskRecord] = {}
        self._begun: set[str] = set()
        self._served: defaultdict[str, float] = defaultdict(float)
        # The highest rank that passed by something held.
        self._passed_rank = float("-inf")
        self._longest = 1.0

    def committed(self, writes: Writes) -> None:
        """Count what one commit gave to engines."""
        if not self.watching:
            return
        counts = self._is_backlogged and self._ledger.time() > _ALL_THERE_S
        for row in writes.tasks:
            if row.new is not None:
                self._moved(row.new, counts=counts)
        if not self._is_backlogged:
            self._served.clear()
        elif counts:
            self._compare()

    @property
    def _is_backlogged(self) -> bool:
        return {task.tenant for task in self._ready.values()} == set(WEIGHTS)

    def _moved(self, task: TaskRecord, *, counts: bool) -> None:
        self._longest = max(self._longest, task.cost)
        if task.id in self._begun:
            return  # it comes back with its rank and was counted when it was first given out
        if task.state is TaskState.READY:
            self._ready[task.id] = task
            return
        self._ready.pop(task.id, None)
        if task.state is TaskState.LEASED:
            self._begun.add(task.id)
            if counts:
                self._took(task)

    def _took(self, task: TaskRecord) -> None:
        ahead = [t for t in self._ready.values() if t.rank + _SLACK * self._longest < task.rank]
        alike = [t for t in ahead if self._is_next(t, task)]
        if alike:
            first = min(alike, key=lambda t: t.rank)
            self._ledger.violated(
                Invariant.FAIR,
                f"task {task.id} of rank {task.rank:.1f} was taken before {first.id} of rank "
                f"{first.rank:.1f}",
            )
        below = [t for t in self._ready.values() if t.rank < task.rank]
        if any(self.is_held(t.id) for t in below) and not any(
            self._is_next(t, task) for t in below
        ):
            self._passed_rank = max(self._passed_rank, task.rank)
        if ahead or task.rank <= self._passed_rank:
            self._served.clear()
        else:
            self._served[task.tenant] += task.cost / WEIGHTS[task.tenant]

    def _is_next(self, ahead: TaskRecord, task: TaskRecord) -> bool:
        return ahead.requirement == task.requirement and not self.is_held(ahead.id)

    def _compare(self) -> None:
        shares = {tenant: self._served[tenant] for tenant in WEIGHTS}
        low, high = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
        bound = self._longest / WEIGHTS[low] + self._longest / WEIGHTS[high]
        apart = (shares[high] - shares[low]) / bound
        if apart > _SLACK:
            self._ledger.violated(
                Invariant.FAIR,
                f"{high} is {apart:.1f} times the bound ahead of {low}: "
                f"{ {tenant: round(share) for tenant, share in shares.items()} }",
            )


def _nothing_is(_: str) -> bool:
    """Hold nothing."""
    return False
