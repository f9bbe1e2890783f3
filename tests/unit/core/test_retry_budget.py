"""Retries are bounded over all jobs, in any run of events."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from distconv.core import retry_budget
from distconv.core.retry_budget import BudgetPolicy

NOW = datetime(2030, 1, 1, tzinfo=UTC)
POLICY = BudgetPolicy(capacity=5, refill_per_s=0.5, refill_per_success=0.25)
EVENTS = st.tuples(st.sampled_from(["retry", "success"]), st.integers(min_value=-5, max_value=20))


@given(st.lists(EVENTS, max_size=200))
def test_retries_never_exceed_what_was_put_in(events: list[tuple[str, int]]) -> None:
    budget, now, latest = retry_budget.full(POLICY, NOW), NOW, NOW
    retried = succeeded = 0
    for kind, step_s in events:
        now += timedelta(seconds=step_s)
        latest = max(latest, now)
        if kind == "retry":
            allowed, budget = retry_budget.spend(POLICY, budget, now)
            retried += allowed
        else:
            budget = retry_budget.succeed(POLICY, budget, now)
            succeeded += 1
        assert 0 <= budget.tokens <= POLICY.capacity
    grown = POLICY.refill_per_s * (latest - NOW).total_seconds()
    assert retried <= POLICY.capacity + grown + POLICY.refill_per_success * succeeded + 1e-6


def test_an_empty_bucket_fills_again() -> None:
    budget = retry_budget.full(POLICY, NOW)
    for _ in range(5):
        allowed, budget = retry_budget.spend(POLICY, budget, NOW)
        assert allowed
    refused, budget = retry_budget.spend(POLICY, budget, NOW + timedelta(seconds=1))
    assert not refused
    assert retry_budget.spend(POLICY, budget, NOW + timedelta(seconds=2))[0]
    for _ in range(2):
        budget = retry_budget.succeed(POLICY, budget, NOW + timedelta(seconds=1))
    assert retry_budget.spend(POLICY, budget, NOW + timedelta(seconds=1))[0]
