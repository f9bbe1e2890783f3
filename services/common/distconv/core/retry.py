"""Whether a failed attempt is followed by another, and when. Pure."""

from dataclasses import dataclass
from datetime import timedelta

from distconv.core.failure import Failure

# 2**30 times any sensible delay is beyond every cap; more would only overflow.
_MAX_DOUBLINGS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon to try again.

    The delay before the n-th retry is `first_delay`·2ⁿ⁻¹, at most `max_delay`,
    less a random share of up to `jitter` of it (0..1), so that what failed
    together does not come back together.
    """

    first_delay: timedelta = timedelta(seconds=2)
    max_delay: timedelta = timedelta(minutes=5)
    jitter: float = 0.5


def may_retry(failure: Failure, *, failed_count: int, max_retries: int) -> bool:
    """Tell whether another attempt follows.

    `failed_count` counts failed attempts with this one; `max_retries` is how
    many may fail beyond the first.
    """
    return failure.retryable and failed_count <= max_retries


def delay(policy: RetryPolicy, *, failed_count: int, randomness: float) -> timedelta:
    """Return how long to wait after the `failed_count`-th failure; `randomness` is in [0, 1)."""
    doublings = min(max(failed_count, 1) - 1, _MAX_DOUBLINGS)
    full: timedelta = min(policy.first_delay * (1 << doublings), policy.max_delay)
    return full * (1 - policy.jitter * randomness)
