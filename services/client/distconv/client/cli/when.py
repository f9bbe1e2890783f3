"""Times and spans as people type them: `90s`, `2h`, `3d`, `2030-01-31`, `2030-01-31T12:00`."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:  # generic in later versions only
    _ParamType = click.ParamType

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)", re.IGNORECASE)
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_NONE = "none"


class Span(_ParamType):
    """A length of time; with `none_allowed` also the word "none", which becomes None."""

    name = "span"

    def __init__(self, *, none_allowed: bool = False) -> None:
        self._none_allowed = none_allowed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a span; a default that is no text stays as it is."""
        if not isinstance(value, str):
            return value
        if self._none_allowed and value.lower() == _NONE:
            return None
        found = _span(value)
        if found is None:
            self.fail(f"'{value}' is not a span; write 90s, 15min, 2h, 3d or 1w", param, ctx)
        return found


class When(_ParamType):
    """A time, or a span from now: into the past (`ago`) or into the future."""

    name = "time"

    def __init__(self, *, ago: bool, none_allowed: bool = False) -> None:
        self._ago = ago
        self._none_allowed = none_allowed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read a time; without a zone it is of this machine's. A default stays as it is."""
        if not isinstance(value, str):
            return value
        if self._none_allowed and value.lower() == _NONE:
            return None
        span = _span(value)
        if span is not None:
            now = datetime.now(UTC)
            return now - span if self._ago else now + span
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except ValueError:
            self.fail(
                f"'{value}' is not a time; write 2030-01-31, 2030-01-31T12:00, or a span as 2h",
                param,
                ctx,
            )


def _span(text: str) -> timedelta | None:
    match = _SPAN.fullmatch(text.strip())
    return timedelta(seconds=float(match[1]) * _UNITS[match[2].lower()]) if match else None
