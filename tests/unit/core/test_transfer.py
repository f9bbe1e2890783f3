from hypothesis import given
from hypothesis import strategies as st

from distconv.core.transfer import scratch_needed, scratch_step


@given(st.integers(min_value=1, max_value=1 << 50))
def test_a_step_is_enough_and_at_most_an_eighth_too_much(size: int) -> None:
    step = scratch_step(size)
    assert size <= step <= size * 9 / 8
    assert scratch_step(step) == step


@given(st.integers(min_value=0, max_value=1 << 50), st.integers(min_value=0, max_value=1 << 50))
def test_more_never_takes_less(one: int, other: int) -> None:
    less, more = sorted((one, other))
    assert scratch_step(less) <= scratch_step(more)


def test_few_sizes_are_asked_for() -> None:
    assert scratch_step(0) == 0
    assert len({scratch_step(scratch_needed(mib << 20)) for mib in range(1, 100_000, 7)}) < 150
