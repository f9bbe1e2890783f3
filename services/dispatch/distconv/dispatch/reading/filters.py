"""The filter language of the list methods, after google.aip.dev/160. Pure.

    filter    = condition groups joined by AND
    group     = conditions joined by OR, all on one name
    condition = NAME OPERATOR VALUE, the value quoted when it is not a plain word

OR binds closer than AND, as in AIP-160.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from distconv.core.errors import InvalidArgumentError

MAX_FILTER_CHARS = 4000

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<operator>>=|<=|=|>|<|:)
      | (?P<word>[\w./+*-]+(?::[\w./+*-]+)*)
    )""",
    re.VERBOSE,
)
_ESCAPED = re.compile(r"\\(.)")
_TICK = timedelta(microseconds=1)
_FIRST_YEAR = 1970
_S = TypeVar("_S", bound=StrEnum)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`name operator value`, the value as it was meant: quotes and escapes removed."""

    name: str
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def parse(text: str, allowed: Mapping[str, str]) -> Sequence[Sequence[Condition]]:
    """Parse a filter into groups: each holds when one of its conditions does, and all must.

    `allowed` gives the operators of each name, separated by spaces; a name that
    ends in a dot takes any key behind it. Raises InvalidArgumentError naming the
    place that is not understood.
    """
    if len(text) > MAX_FILTER_CHARS:
        raise _wrong(text, f"it has {len(text)} characters, of at most {MAX_FILTER_CHARS}", allowed)
    if "\0" in text:
        raise _wrong(text.replace("\0", "\N{REPLACEMENT CHARACTER}"), "it holds a NUL", allowed)
    tokens = _tokens(text, allowed)
    groups: list[list[Condition]] = []
    joined_by = "AND"
    while tokens:
        condition = _condition(tokens, text, allowed)
        if joined_by == "AND":
            groups.append([condition])
        elif groups[-1][0].name != condition.name:
            raise _wrong(text, "OR joins conditions on one name only", allowed)
        else:
            groups[-1].append(condition)
        if not tokens:
            return groups
        joint = tokens.pop(0)
        if joint.kind != "word" or joint.text not in ("AND", "OR") or not tokens:
            raise _wrong(text, f"not understood at '{text[joint.at :][:40].strip()}'", allowed)
        joined_by = joint.text
    return groups


def _tokens(text: str, allowed: Mapping[str, str]) -> list[_Token]:
    tokens, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise _wrong(text, f"not understood at '{text[at:][:40].strip()}'", allowed)
        tokens.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    return tokens


def _condition(tokens: list[_Token], text: str, allowed: Mapping[str, str]) -> Condition:
    first = tokens.pop(0)
    # A name and its operator may stand together: `text:holiday` is one word to the scanner.
    name, colon, rest = first.text.partition(":")
    if first.kind == "word" and colon:
        operator, value = ":", rest
    elif first.kind == "word" and len(tokens) > 1 and tokens[0].kind == "operator":
        operator, second = tokens.pop(0).text, tokens.pop(0)
        if second.kind == "operator":
            raise _wrong(text, f"no value after '{name} {operator}'", allowed)
        value = _unquoted(second)
    else:
        raise _wrong(text, f"not understood at '{text[first.at :][:40].strip()}'", allowed)
    key = f"{name.partition('.')[0]}." if "." in name else name
    if key not in allowed:
        raise _wrong(text, f"there is no '{name[:60]}' to filter by", allowed)
    if operator not in allowed[key].split():
        raise _wrong(text, f"'{name[:60]}' does not take '{operator}'", allowed)
    return Condition(name=name, operator=operator, value=value)


def _unquoted(token: _Token) -> str:
    return _ESCAPED.sub(r"\1", token.text[1:-1]) if token.kind == "string" else token.text


def quoted(value: str) -> str:
    """Return `value` as a filter may hold it, whatever it is."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _wrong(text: str, what: str, allowed: Mapping[str, str]) -> InvalidArgumentError:
    names = ", ".join(
        f"{name}{'KEY' if name.endswith('.') else ''} {operators.split()[0]} VALUE"
        for name, operators in allowed.items()
    )
    return InvalidArgumentError(
        f"the filter '{text[:120]}' is not understood: {what}; write {names}, joined by AND",
        field="filter",
    )


# --- what values mean ------------------------------------------------------------------------


def states(group: Sequence[Condition], kind: type[_S]) -> frozenset[_S]:
    """Read a group on `state`. Raises InvalidArgumentError."""
    return frozenset(_state(condition.value, kind) for condition in group)


def _state(value: str, kind: type[_S]) -> _S:
    name = re.sub(r"^[A-Z]+_STATE_", "", value.upper())
    if name not in kind.__members__:
        raise InvalidArgumentError(
            f"'{value[:40]}' is not a state; the states are {', '.join(kind)}", field="filter"
        )
    return kind[name]


def only(group: Sequence[Condition], read: Callable[[str], _T]) -> _T:
    """Read a group that may hold one condition only. Raises InvalidArgumentError."""
    if len(group) > 1:
        raise InvalidArgumentError(
            f"'{group[0].name}' cannot be joined by OR; only states can", field="filter"
        )
    return read(group[0].value)


def only_one(group: Sequence[Condition]) -> Condition:
    """Return the condition of a group that may hold one only. Raises InvalidArgumentError."""
    only(group, str)
    return group[0]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A span of time: from `after` (inclusive) on, to `before` (exclusive); None is no bound."""

    after: datetime | None = None
    before: datetime | None = None

    def narrowed(self, condition: Condition) -> "TimeRange":
        """Return what a comparison with a time leaves of it. Raises InvalidArgumentError."""
        after, before = _time_range(condition)
        return TimeRange(
            max((t for t in (self.after, after) if t is not None), default=None),
            min((t for t in (self.before, before) if t is not None), default=None),
        )

    def holds(self, time: datetime | None) -> bool:
        """Tell whether a time lies in it; no time lies in the whole of time alone."""
        if time is None:
            return self == ANY_TIME
        return (self.after is None or time >= self.after) and (
            self.before is None or time < self.before
        )


ANY_TIME = TimeRange()
# How times are compared.
TIME_OPERATORS = ">= > <= <"


def _time_range(condition: Condition) -> tuple[datetime | None, datetime | None]:
    time = _time(condition.value)
    match condition.operator:
        case ">=":
            return time, None
        case ">":
            return time + _TICK, None
        case "<=":
            return None, time + _TICK
        case _:
            return None, time


def _time(value: str) -> datetime:
    try:
        read = datetime.fromisoformat(value)
        time = read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        time = None
    # Room for the tick that makes a bound exclusive.
    if time is None or not _FIRST_YEAR <= time.year < MAXYEAR:
        raise InvalidArgumentError(
            f"'{value[:40]}' is not a time; write it as 2030-01-31T12:00:00Z, or the date alone",
            field="filter",
        )
    return time
