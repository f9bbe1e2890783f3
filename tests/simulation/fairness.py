"""Measure the tenants' shares while every one of them has work that waits."""

from collections import defaultdict

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
    """Compare what tenants were given since all of them had work that waited."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        # Only worlds whose jobs are all alike tell shares from priorities.
        self.watching = False
        self._ready: dict[str, set[str]] = {tenant: set() for tenant in WEIGHTS}
        self._begun: set[str] = set()
        self._served: defaultdict[str, float] = defaultdict(float)
        self._longest = 1.0

    def committed(self, writes: Writes) -> None:
        """Count what one commit gave to engines."""
        if not self.watching:
            return
        backlogged = all(self._ready.values()) and self._ledger.time() > _ALL_THERE_S
        for row in writes.tasks:
            if row.new is not None:
                self._moved(row.new, backlogged=backlogged)
        if not all(self._ready.values()):
            self._served.clear()
        elif backlogged:
            self._compare()

    def _moved(self, task: TaskRecord, *, backlogged: bool) -> None:
        self._longest = max(self._longest, task.cost)
        ready = self._ready[task.tenant]
        if task.id in self._begun:
            return  # it comes back with its rank and was counted when it was first given out
        if task.state is TaskState.READY:
            ready.add(task.id)
            return
        ready.discard(task.id)
        if task.state is TaskState.LEASED:
            self._begun.add(task.id)
            if backlogged:
                self._served[task.tenant] += task.cost / WEIGHTS[task.tenant]

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
