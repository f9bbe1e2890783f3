from datetime import UTC, datetime, timedelta

import click
import pytest

from distconv.client.cli.when import Span, When


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15min", 900), ("15m", 900), ("2h", 7200), ("1.5 d", 129_600), ("1W", 604_800)],
)
def test_spans(text: str, seconds: int) -> None:
    assert Span().convert(text, None, None) == timedelta(seconds=seconds)


def test_none_is_a_span_where_it_is_allowed() -> None:
    assert Span(none_allowed=True).convert("none", None, None) is None
    with pytest.raises(click.UsageError, match="not a span"):
        Span().convert("none", None, None)


def test_times_are_absolute_or_a_span_from_now() -> None:
    before = datetime.now(UTC)
    assert When(ago=True).convert("2h", None, None) <= before - timedelta(hours=1.9)
    assert When(ago=False).convert("2h", None, None) >= before + timedelta(hours=2)
    zoned = When(ago=False).convert("2030-01-31T12:00:00+02:00", None, None)
    assert zoned == datetime(2030, 1, 31, 10, tzinfo=UTC)
    assert When(ago=True).convert("2030-01-31", None, None).tzinfo is not None
    with pytest.raises(click.UsageError, match="not a time"):
        When(ago=True).convert("yesterday", None, None)
