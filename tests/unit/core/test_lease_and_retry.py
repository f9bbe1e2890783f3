"""Leases grow and never shrink; retries are bounded in number and time."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from distconv.core import lease, retry
from distconv.core.failure import Failure
from distconv.core.retry import RetryPolicy

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SPANS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=1))
BROKEN = Failure(reason="ENCODE_FAILED", message="it broke", retryable=True)
CORRUPT = Failure(reason="CORRUPT_SOURCE", message="no video", retryable=False)


def test_a_lease_may_be_taken_when_its_time_has_come() -> None:
    granted = lease.grant(last_token=0, now=NOW, duration=timedelta(seconds=20))
    assert granted.fencing_token == 1
    assert not granted.is_expired(NOW + timedelta(seconds=19.999))
    assert granted.is_expired(NOW + timedelta(seconds=20))


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), SPANS, SPANS)))
def test_tokens_grow_and_renewals_never_shorten(
    steps: list[tuple[bool, timedelta, timedelta]],
) -> None:
    held = lease.grant(last_token=0, now=NOW, duration=timedelta(seconds=1))
    for again, passed, duration in steps:
        now = NOW + passed
        if again:
            following = lease.grant(last_token=held.fencing_token, now=now, duration=duration)
            assert following.fencing_token > held.fencing_token
        else:
            following = lease.renew(held, now=now, duration=duration)
            assert following.fencing_token == held.fencing_token
            assert following.expire_time >= held.expire_time
        held = following


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(0, 100))
def test_retries_are_bounded(failed_count: int, max_retries: int) -> None:
    allowed = retry.may_retry(BROKEN, failed_count=failed_count, max_retries=max_retries)
    assert allowed == (failed_count <= max_retries)
    assert not retry.may_retry(CORRUPT, failed_count=failed_count, max_retries=max_retries)


@settings(deadline=None)
@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_delays_stay_between_their_bounds(failed_count: int, randomness: float) -> None:
    policy = RetryPolicy()
    wait = retry.delay(policy, failed_count=failed_count, randomness=randomness)
    assert policy.first_delay * (1 - policy.jitter) <= wait <= policy.max_delay


def test_delays_double() -> None:
    policy = RetryPolicy(jitter=0)
    waits = [retry.delay(policy, failed_count=n, randomness=0.9) for n in (1, 2, 3)]
    assert waits == [timedelta(seconds=2), timedelta(seconds=4), timedelta(seconds=8)]
