from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.engine.progress_meter import ProgressMeter


class ManualClock:
    def __init__(self) -> None:
        self.time_s = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.time_s)

    def monotonic(self) -> float:
        return self.time_s


def meter(duration_s: float | None) -> tuple[ProgressMeter, ManualClock]:
    clock = ManualClock()
    return ProgressMeter(duration_s=duration_s, clock=clock), clock


def test_rates_are_of_late_not_since_the_beginning():
    subject, clock = meter(100)
    for second in range(20):  # slow at first, ten times as fast after ten seconds
        frames = second if second < 10 else 10 + (second - 10) * 10
        clock.time_s = second
        last = subject.measure(
            frame_count=frames, out_time_s=frames / 10, read_bytes=0, written_bytes=0
        )
    assert last.fps == pytest.approx(10)
    assert last.speed == pytest.approx(1)
    assert last.fraction == pytest.approx(0.1)
    assert last.eta == timedelta(seconds=90)


def test_an_unknown_length_has_no_share_and_no_end():
    subject, clock = meter(None)
    subject.measure(frame_count=0, out_time_s=0, read_bytes=0, written_bytes=0)
    clock.time_s += 1
    progress = subject.measure(frame_count=30, out_time_s=1, read_bytes=5, written_bytes=3)
    assert progress.fraction is None
    assert progress.eta is None
    assert (progress.fps, progress.read_bytes, progress.written_bytes) == (30, 5, 3)


@given(
    st.lists(
        st.tuples(st.floats(0, 10), st.integers(-5, 1000), st.floats(-1, 1e6, allow_nan=False)),
        min_size=1,
    ),
    st.one_of(st.none(), st.floats(0, 1e6)),
)
def test_nothing_an_encoder_says_makes_nonsense(reports, duration_s):
    subject, clock = meter(duration_s)
    for step, frames, out in reports:
        clock.time_s += step
        progress = subject.measure(
            frame_count=frames, out_time_s=out, read_bytes=0, written_bytes=0
        )
        assert progress.fraction is None or 0 <= progress.fraction <= 1
        assert progress.fps >= 0
        assert progress.speed >= 0
        assert progress.eta is None or progress.eta >= timedelta(0)
