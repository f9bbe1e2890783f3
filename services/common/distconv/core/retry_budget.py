"""A budget that keeps retries from becoming a storm. Pure.

A token bucket over all jobs: a retry takes a token, time and completed attempts
put tokens back. When a whole fleet fails (storage away, a bad release), retries
would otherwise multiply its load just then; without a token a retry still comes,
but as late as its policy allows. After "Handling Overload", Site Reliability
Engineering (O'Reilly 2016), chapter 21, and the retry budgets of Finagle.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPolicy:
    """The size of the bucket and what fills it.

    `capacity` is in retries; `refill_per_s` retries a second come back with time,
    `refill_per_success` with each attempt that succeeds.
    """

    capacity: float = 100.0
    refill_per_s: float = 1.0
    refill_per_success: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudget:
    """What is in the bucket, as counted at `time`."""

    tokens: float
    time: datetime


def full(policy: BudgetPolicy, now: datetime) -> RetryBudget:
    """Return a full bucket."""
    return RetryBudget(tokens=policy.capacity, time=now)


def refilled(policy: BudgetPolicy, budget: RetryBudget, now: datetime) -> RetryBudget:
    """Put back what time has brought; a clock that went back brings nothing."""
    elapsed_s = max((now - budget.time).total_seconds(), 0.0)
    tokens = min(budget.tokens + elapsed_s * policy.refill_per_s, policy.capacity)
    return RetryBudget(tokens=tokens, time=max(now, budget.time))


def spend(policy: BudgetPolicy, budget: RetryBudget, now: datetime) -> tuple[bool, RetryBudget]:
    """Take a token for a retry; False when there is none left."""
    current = refilled(policy, budget, now)
    if current.tokens < 1.0:
        return False, current
    return True, RetryBudget(tokens=current.tokens - 1.0, time=current.time)


def succeed(policy: BudgetPolicy, budget: RetryBudget, now: datetime) -> RetryBudget:
    """Put back what an attempt that succeeded brings."""
    current = refilled(policy, budget, now)
    tokens = min(current.tokens + policy.refill_per_success, policy.capacity)
    return RetryBudget(tokens=tokens, time=current.time)
