from datetime import UTC, datetime, timedelta

import pytest

from distconv.client.cli import text


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (12_345, "12.3 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (123_456_789, "123 MB"),
        (-5_000, "-5.00 kB"),
        (10**18, "1000 PB"),
    ],
)
def test_sizes(count: int, said: str) -> None:
    assert text.size(count) == said


def test_a_size_in_more_digits() -> None:
    assert text.size(4_012_345_678, more_digits=3) == "4.01235 GB"
    assert text.size(12, more_digits=3) == "12 bytes"


def test_times() -> None:
    assert text.span(59.6) == "0:01:00"
    assert text.span(timedelta(hours=30, seconds=5)) == "30:00:05"
    now = datetime(2025, 1, 1, tzinfo=UTC)
    assert text.age(now - timedelta(hours=50), now) == "2 d"
    assert text.age(now - timedelta(seconds=90), now) == "1 min"
    assert text.age(None, now) == ""


def test_percents_say_100_only_at_the_end() -> None:
    assert [text.percent(f) for f in (0, 0.999, 1.0, 1.2)] == ["0 %", "99 %", "100 %", "100 %"]


def test_rates() -> None:
    assert text.rate("30000/1001") == "29.97 fps"
    assert text.rate("25/1") == "25 fps"
    assert text.rate("0/0") == ""
    assert text.rate("") == ""


def test_what_moves_a_cursor_is_not_printed() -> None:
    assert text.printable("esc\x1b[31mred\a.mkv\n") == "esc\ufffd[31mred\ufffd.mkv\ufffd"
    assert text.printable("Füße — 映画.mkv") == "Füße — 映画.mkv"


def test_cut_keeps_both_ends() -> None:
    assert text.cut("a" * 5 + "b" * 5, 7) == "aaa…bbb"
    assert text.cut("short", 7) == "short"
