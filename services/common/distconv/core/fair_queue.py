"""Share engines out fairly by giving each task a place in one order. Pure.

Start-time fair queuing (P. Goyal, H. M. Vin, H. Cheng, "Start-time Fair Queuing",
SIGCOMM 1996): a flow's next packet gets the start tag max(v, finish tag of the
packet before it), and the finish tag start + length / weight; the packet with
the lowest start tag is served next, and v is the start tag of the one in
service. Here a flow is a tenant, a packet a task, its length the task's cost
(`distconv.core.work`), and the start tag the task's *rank*: an ordinary column,
so that the next task is the first row of an index.

Ranks only grow. A fleet that works off a million units a second reaches 3e13 in
a year, where a double still tells 0.004 apart; a task costs at least 1.
"""

from dataclasses import dataclass

# What every task costs at least, units: no task is free, so ranks always move on.
MIN_COST = 1.0
MIN_WEIGHT = 0.001
MAX_WEIGHT = 1_000_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A task's place in the order, and where its tenant's account stands after it."""

    rank: float
    finish_rank: float


def charge(*, virtual_time: float, finish_rank: float, cost: float, weight: float) -> Charge:
    """Rank a task that becomes ready for the first time, and charge its tenant.

    `virtual_time` is the rank of the task that was taken last, `finish_rank` the
    tenant's account before (0 for a new one). `cost` is in units, `weight` the
    tenant's share relative to others. A tenant that was idle starts at the
    present: it neither saves up a claim to the past nor pays for it.
    """
    rank = max(virtual_time, finish_rank)
    return Charge(rank=rank, finish_rank=rank + _span(cost, weight))


def refund(*, finish_rank: float, cost: float, weight: float) -> float:
    """Return the tenant's account when a task that was charged was never taken, and never will be.

    Tasks that were charged after it keep their ranks; what is charged next falls
    back to what the tenant would have had.
    """
    return max(finish_rank - _span(cost, weight), 0.0)


def advance(*, claimed_rank: float, rank: float) -> float:
    """Return the tenant's highest claimed rank once a task of `rank` is taken.

    Virtual time is the highest of all tenants'. It never goes back, also when a
    task comes back with the rank that it had.
    """
    return max(claimed_rank, rank)


def _span(cost: float, weight: float) -> float:
    return max(cost, MIN_COST) / min(max(weight, MIN_WEIGHT), MAX_WEIGHT)
