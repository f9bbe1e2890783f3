from datetime import timedelta

import pytest

from distconv.core.durations import about, span


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "under a second"), (1, "1.0 s"), (9.97, "10 s"), (119.6, "2 min"), (2280, "38 min"),
        (7199, "2.0 h"), (11_500, "3.2 h"), (216_000, "2.5 days"),
    ],
)  # fmt: skip
def test_lengths_are_said_in_the_unit_that_fits(seconds: float, said: str) -> None:
    assert span(timedelta(seconds=seconds)) == said


def test_an_estimate_is_about_so_much() -> None:
    assert about(timedelta(0)) == "under a second"
    assert about(timedelta(minutes=38)) == "about 38 min"
