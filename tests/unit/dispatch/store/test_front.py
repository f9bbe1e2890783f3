"""Where a newcomer of an urgency begins."""

from datetime import UTC, datetime, timedelta

import pytest

from distconv.dispatch.store.front import Front, LineFront

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def line(head_rank: float | None, *, minutes_ago: float | None = 0.0) -> LineFront:
    claimed = None if minutes_ago is None else NOW - timedelta(minutes=minutes_ago)
    return LineFront(head_rank=head_rank, claim_time=claimed)


@pytest.mark.parametrize(
    ("claimed", "lines", "begin"),
    [
        (0.0, [], 0.0),
        (70.0, [], 70.0),
        (70.0, [line(80.0)], 70.0),
        # Something was taken early: for an engine of its own, say.
        (1e6, [line(80.0), line(None)], 80.0),
        (1e6, [line(80.0), line(2e6)], 80.0),
        # Nobody takes from the line with the old head.
        (1e6, [line(5.0, minutes_ago=None), line(80.0)], 80.0),
        (1e6, [line(5.0, minutes_ago=11), line(80.0)], 80.0),
        (1e6, [line(5.0, minutes_ago=9), line(80.0)], 5.0),
        # All engines were away for a day: what was served last counts still.
        (1e6, [line(80.0, minutes_ago=24 * 60), line(5.0, minutes_ago=25 * 60)], 80.0),
        (70.0, [line(5.0, minutes_ago=None)], 70.0),
    ],
)
def test_a_newcomer_begins_where_the_others_are(
    claimed: float, lines: list[LineFront], begin: float
):
    assert Front.of(claimed, lines).virtual_time() == begin


def test_what_was_taken_since_counts():
    assert Front.of(5.0, []).virtual_time(9.0) == 9.0
    assert Front.of(5.0, [line(7.0)]).virtual_time(9.0) == 7.0
