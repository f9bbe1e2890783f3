from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.core.credit import Credit

CHUNK = 256 * 1024
MOST = 32 * 1024 * 1024


def _transfer(credit: Credit, *, round_trip_s: float, rate: float, duration_s: float) -> float:
    """Send chunks over a line of `rate` bytes/s as the credit allows; return the speed, bytes/s."""
    now, line_free, arrived = 0.0, 0.0, 0
    under_way: deque[float] = deque()
    while now < duration_s:
        while credit.allows(CHUNK):
            credit.sent(CHUNK, now)
            line_free = max(line_free, now) + CHUNK / rate
            under_way.append(line_free + round_trip_s)
        now = under_way.popleft()
        credit.written(CHUNK, now)
        arrived += CHUNK
    return arrived / now


@given(
    round_trip_s=st.floats(0, 0.002),
    rate=st.floats(200e6, 5e9),
)
def test_a_short_line_holds_two_chunks(round_trip_s: float, rate: float) -> None:
    credit = Credit(CHUNK, most_bytes=MOST)
    _transfer(credit, round_trip_s=round_trip_s, rate=rate, duration_s=1)
    assert credit.limit_bytes == 2 * CHUNK


@given(round_trip_s=st.floats(0, 0.1), rate=st.floats(1e6, 110e6))
def test_a_gigabit_line_is_filled(round_trip_s: float, rate: float) -> None:
    credit = Credit(CHUNK, most_bytes=MOST)
    speed = _transfer(credit, round_trip_s=round_trip_s, rate=rate, duration_s=30)
    assert speed > 0.85 * rate


@given(round_trip_s=st.floats(0.0001, 0.002), rate=st.floats(1e9, 5e9))
def test_a_short_line_that_is_faster_carries_two_chunks_a_round_trip(
    round_trip_s: float, rate: float
) -> None:
    credit = Credit(CHUNK, most_bytes=MOST)
    speed = _transfer(credit, round_trip_s=round_trip_s, rate=rate, duration_s=1)
    assert speed == pytest.approx(min(rate, 2 * CHUNK / (round_trip_s + CHUNK / rate)), rel=0.05)


@given(round_trip_s=st.floats(0.01, 0.3), rate=st.floats(1e6, 110e6))
def test_a_long_line_is_given_little_more_than_it_holds(round_trip_s: float, rate: float) -> None:
    credit = Credit(CHUNK, most_bytes=MOST)
    _transfer(credit, round_trip_s=round_trip_s, rate=rate, duration_s=30)
    held = rate * round_trip_s + CHUNK
    assert credit.limit_bytes <= max(2 * CHUNK, 2 * held + 2 * CHUNK)


@given(steps=st.lists(st.tuples(st.integers(1, CHUNK), st.floats(0, 2)), max_size=60))
def test_the_limit_stays_within_its_bounds_whatever_arrives(
    steps: list[tuple[int, float]],
) -> None:
    credit, now = Credit(CHUNK, most_bytes=MOST), 0.0
    for count, pause_s in steps:
        if credit.allows(count):
            credit.sent(count, now)
        now += pause_s
        credit.written(count, now)  # more than was sent, too
        assert 2 * CHUNK <= credit.limit_bytes <= MOST


def test_nothing_goes_while_nothing_arrives() -> None:
    credit = Credit(CHUNK, most_bytes=MOST)
    sent = 0
    while credit.allows(CHUNK):
        credit.sent(CHUNK, 0.0)
        sent += CHUNK
    assert sent == credit.in_flight_bytes == 2 * CHUNK


def test_one_piece_may_always_go() -> None:
    assert Credit(CHUNK, most_bytes=MOST).allows(100 * CHUNK)
