import random
from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from distconv.core.credit import Credit

CHUNK = 256 * 1024
MOST = 32 * 1024 * 1024
GIGABIT = 118e6


def _credit(largest_chunk_bytes: int = CHUNK) -> Credit:
    return Credit(CHUNK, largest_chunk_bytes=largest_chunk_bytes, most_bytes=MOST)


def _transfer(
    credit: Credit,
    *,
    round_trip_s: float,
    rate: float,
    duration_s: float,
    delay_s: float = 0.0,
) -> float:
    """Send chunks over a line of `rate` bytes/s as the credit allows; return the speed, bytes/s.

    What is written is known up to `delay_s` late, in order: a busy machine, a disk.
    """
    randomness = random.Random(1)  # noqa: S311  # guards nothing
    now, line_free, known, written = 0.0, 0.0, 0.0, 0
    in_flight: deque[tuple[float, int]] = deque()
    while now < duration_s:
        while credit.allows(size_bytes := credit.chunk_bytes):
            credit.sent(size_bytes)
            line_free = max(line_free, now) + size_bytes / rate
            known = max(known, line_free + round_trip_s + randomness.uniform(0, delay_s))
            in_flight.append((known, size_bytes))
        now, size_bytes = in_flight.popleft()
        credit.written(size_bytes, now)
        written += size_bytes
    return written / now


@given(round_trip_s=st.floats(0, 0.001), rate=st.floats(1e6, GIGABIT))
def test_a_line_that_two_chunks_fill_is_given_no_more(round_trip_s: float, rate: float) -> None:
    credit = _credit()
    speed = _transfer(credit, round_trip_s=round_trip_s, rate=rate, duration_s=20)
    # A trial that is under way at the end apart.
    assert credit.limit_bytes <= 4 * CHUNK
    assert speed > 0.99 * rate


@given(round_trip_s=st.floats(0, 0.1), rate=st.floats(10e6, 1e9))
def test_a_line_is_filled_whatever_its_round_trip(round_trip_s: float, rate: float) -> None:
    credit = _credit()
    speed = _transfer(credit, round_trip_s=round_trip_s, rate=rate, duration_s=20)
    # 32 MiB are the most, what carries a gigabit is enough, and what two chunks more would carry
    # is no gain worth them.
    assert speed > 0.7 * min(rate, GIGABIT, MOST / (round_trip_s + CHUNK / rate))


@given(round_trip_s=st.floats(0, 0.003), rate=st.floats(2 * GIGABIT, 1e9))
def test_a_stream_that_carries_a_gigabit_is_given_no_more(round_trip_s: float, rate: float) -> None:
    credit = _credit()
    _transfer(credit, round_trip_s=round_trip_s, rate=rate, duration_s=20)
    assert credit.limit_bytes == 2 * CHUNK


def test_a_moment_in_which_the_machine_is_busy_changes_nothing() -> None:
    credit, now = _credit(), 0.0
    for number in range(2000):
        credit.sent(2 * CHUNK)
        now += 0.05 if number % 100 == 50 else 0.002  # a hiccup, now and then
        credit.written(2 * CHUNK, now)
        assert credit.limit_bytes == 2 * CHUNK


@given(
    speed=st.floats(120e6, 1e9),
    stalls=st.lists(st.tuples(st.integers(8, 60), st.integers(1, 6)), min_size=1, max_size=10),
    stalled=st.floats(1e6, 100e6),
)
def test_a_disk_that_stands_still_at_times_is_no_reason_for_more(
    speed: float, stalls: list[tuple[int, int]], stalled: float
) -> None:
    credit, now = _credit(), 0.0
    for fast_epochs, slow_epochs in stalls:
        for epochs, rate in ((fast_epochs, speed), (slow_epochs, stalled)):
            for _ in range(8 * epochs):  # an epoch is 16 chunks
                credit.sent(2 * CHUNK)
                now += 2 * CHUNK / rate
                credit.written(2 * CHUNK, now)
                assert credit.limit_bytes == 2 * CHUNK


@given(round_trip_s=st.floats(0, 0.02), delay_s=st.floats(0, 0.03))
def test_a_gigabit_line_is_filled_though_the_receiver_is_busy(
    round_trip_s: float, delay_s: float
) -> None:
    credit = _credit()
    speed = _transfer(
        credit, round_trip_s=round_trip_s, rate=GIGABIT, duration_s=30, delay_s=delay_s
    )
    assert speed > 0.7 * GIGABIT


@given(round_trip_s=st.floats(0.005, 0.1), rate=st.floats(5e6, GIGABIT))
def test_a_long_line_is_given_little_more_than_it_holds(round_trip_s: float, rate: float) -> None:
    credit = _credit()
    _transfer(credit, round_trip_s=round_trip_s, rate=rate, duration_s=20)
    held = rate * round_trip_s + 2 * CHUNK
    assert credit.limit_bytes <= 4 * held  # twice, and twice that in a trial


def test_a_sender_that_has_little_to_send_learns_nothing() -> None:
    credit = _credit()
    for second in range(1000):
        credit.sent(1000)
        credit.written(1000, float(second))
    assert credit.limit_bytes == 2 * CHUNK


@given(steps=st.lists(st.tuples(st.integers(1, CHUNK), st.floats(0, 2)), max_size=200))
def test_the_limit_stays_within_its_bounds_whatever_comes(
    steps: list[tuple[int, float]],
) -> None:
    credit, now = _credit(), 0.0
    for size_bytes, pause_s in steps:
        if credit.allows(size_bytes):
            credit.sent(size_bytes)
        now += pause_s
        credit.written(size_bytes, now)  # more than was sent, too
        assert 2 * CHUNK <= credit.limit_bytes <= MOST


def test_nothing_goes_while_nothing_is_written() -> None:
    credit = _credit()
    sent = 0
    while credit.allows(CHUNK):
        credit.sent(CHUNK)
        sent += CHUNK
    assert sent == credit.in_flight_bytes == 2 * CHUNK


def test_one_piece_may_always_go() -> None:
    assert _credit().allows(100 * CHUNK)


@given(round_trip_s=st.floats(0, 0.0005), rate=st.floats(130e6, 5e9))
def test_a_fast_line_gets_large_chunks_and_two_of_them(round_trip_s: float, rate: float) -> None:
    credit = _credit(4 * CHUNK)
    _transfer(credit, round_trip_s=round_trip_s, rate=rate, duration_s=5)
    assert credit.chunk_bytes == 4 * CHUNK
    assert credit.limit_bytes == 2 * credit.chunk_bytes


@given(round_trip_s=st.floats(0, 0.1), rate=st.floats(1e6, 25e6))
def test_a_slow_line_keeps_small_chunks(round_trip_s: float, rate: float) -> None:
    credit = _credit(4 * CHUNK)
    _transfer(credit, round_trip_s=round_trip_s, rate=rate, duration_s=20)
    assert credit.chunk_bytes == CHUNK


@given(round_trip_s=st.floats(0, 0.1), rate=st.floats(1e5, 3e6), fast=st.floats(50e6, 500e6))
def test_a_line_that_becomes_slow_gets_small_chunks_again(
    round_trip_s: float, rate: float, fast: float
) -> None:
    credit, now = _credit(4 * CHUNK), 0.0
    for pause_s, speed in ((round_trip_s, fast), (0.001, rate)):
        for _ in range(300):
            while credit.allows(size_bytes := credit.chunk_bytes):
                credit.sent(size_bytes)
            now += pause_s + credit.in_flight_bytes / speed
            credit.written(credit.in_flight_bytes, now)
    assert credit.chunk_bytes == CHUNK
    assert credit.limit_bytes <= 4 * CHUNK  # a trial may be under way


@given(round_trip_s=st.floats(0, 0.1), rate=st.floats(10e6, 1e9))
def test_a_line_is_filled_with_chunks_that_grow(round_trip_s: float, rate: float) -> None:
    credit = _credit(4 * CHUNK)
    speed = _transfer(credit, round_trip_s=round_trip_s, rate=rate, duration_s=20)
    most = MOST / (round_trip_s + CHUNK / rate)
    assert speed > 0.7 * min(rate, GIGABIT, most)


@given(
    rates=st.lists(st.floats(1e5, 2e9), min_size=1, max_size=40),
    largest=st.sampled_from([CHUNK, 3 * CHUNK, 4 * CHUNK]),
)
def test_at_least_two_chunks_may_go_and_no_chunk_is_larger_than_the_largest(
    rates: list[float], largest: int
) -> None:
    credit, now = _credit(largest), 0.0
    for rate in rates:  # a line whose speed changes
        for _ in range(20):
            size_bytes = credit.chunk_bytes
            while credit.allows(size_bytes):
                credit.sent(size_bytes)
                now += size_bytes / rate
            credit.written(credit.in_flight_bytes, now)
            assert CHUNK <= credit.chunk_bytes <= largest
            assert 2 * credit.chunk_bytes <= credit.limit_bytes <= MOST
