from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.core.errors import InvalidArgumentError
from distconv.core.states import JobState
from distconv.dispatch.reading.filters import ANY_TIME, Condition, only, parse, quoted, states

# Any text but NUL, which no filter takes.
_VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_ALLOWED = {
    "state": "=",
    "labels.": "=",
    "create_time": ">= > <= <",
    "text": ":",
}


def _pairs(text: str) -> list[list[tuple[str, str, str]]]:
    return [[(c.name, c.operator, c.value) for c in group] for group in parse(text, _ALLOWED)]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", []),
        ("  ", []),
        ("state = FAILED", [[("state", "=", "FAILED")]]),
        ("state=FAILED", [[("state", "=", "FAILED")]]),
        (
            "state = FAILED OR state = CANCELLED AND text:holiday",
            [
                [("state", "=", "FAILED"), ("state", "=", "CANCELLED")],
                [("text", ":", "holiday")],
            ],
        ),
        ('labels.my-key.x = "a b"', [[("labels.my-key.x", "=", "a b")]]),
        (r'labels.k = "say \"yes\" \\ no"', [[("labels.k", "=", r'say "yes" \ no')]]),
        ('labels.k = ""', [[("labels.k", "=", "")]]),
        ('text : "two words"', [[("text", ":", "two words")]]),
        ('text:"x AND y"', [[("text", ":", "x AND y")]]),
        (
            "create_time >= 2030-01-31T12:00:00Z",
            [[("create_time", ">=", "2030-01-31T12:00:00Z")]],
        ),
        ("create_time<2030-01-31", [[("create_time", "<", "2030-01-31")]]),
        ("text : été", [[("text", ":", "été")]]),
    ],
)
def test_filters_mean_what_they_say(text: str, meant: list[list[tuple[str, str, str]]]) -> None:
    assert _pairs(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "state",
        "state =",
        "state = = x",
        "state ~ FAILED",
        "colour = blue",
        "labels = x",
        "state.x = y",
        "create_time = 2030-01-31",
        "state = FAILED AND",
        "state = FAILED state = CANCELLED",
        "state = FAILED XOR state = CANCELLED",
        "state = FAILED OR text : x",
        "AND state = FAILED",
        'text : "open',
        "text : x" * 1000,
        "(state = FAILED)",
        "\0",
    ],
)
def test_what_is_not_understood_is_named(text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse(text, _ALLOWED)
    assert caught.value.field == "filter"


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        groups = parse(text, _ALLOWED)
    except InvalidArgumentError:
        return
    assert all(group for group in groups)


@given(
    st.lists(st.tuples(st.from_regex(r"[a-z0-9_.-]{1,20}", fullmatch=True), _VALUES), max_size=5)
)
def test_a_quoted_value_comes_back_whatever_it_is(labels: list[tuple[str, str]]) -> None:
    text = " AND ".join(f"labels.{key} = {quoted(value)}" for key, value in labels)
    if len(text) > 4000:
        return
    assert _pairs(text) == [[(f"labels.{key}", "=", value)] for key, value in labels]


def _state(value: str) -> Condition:
    return Condition(name="state", operator="=", value=value)


def test_states_are_read_with_and_without_their_prefix() -> None:
    found = states([_state("failed"), _state("JOB_STATE_CANCELLED")], JobState)
    assert found == {JobState.FAILED, JobState.CANCELLED}
    with pytest.raises(InvalidArgumentError, match="the states are PENDING"):
        states([_state("BROKEN")], JobState)


def test_only_states_are_joined_by_or() -> None:
    assert only([_state("x")], str) == "x"
    with pytest.raises(InvalidArgumentError, match="OR"):
        only([_state("x"), _state("y")], str)


@given(
    st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9000, 1, 1)),  # noqa: DTZ001
    st.sampled_from((">=", ">", "<=", "<")),
    st.integers(-1, 1),
)
def test_comparisons_leave_what_they_say(at: datetime, operator: str, ticks: int) -> None:
    bound = at.replace(tzinfo=UTC)
    asked = Condition(name="create_time", operator=operator, value=bound.isoformat())
    kept = ANY_TIME.narrowed(asked).holds(bound + timedelta(microseconds=ticks))
    meant = {">=": ticks >= 0, ">": ticks > 0, "<=": ticks <= 0, "<": ticks < 0}[operator]
    assert kept is meant


@pytest.mark.parametrize("value", ["yesterday", "", "0001-01-01", "2030-13-01", "9999-12-31"])
def test_what_is_no_time_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgumentError, match="not a time"):
        ANY_TIME.narrowed(Condition(name="create_time", operator=">", value=value))


def test_what_has_no_time_lies_in_no_span_of_it() -> None:
    asked = Condition(name="connect_time", operator=">", value="2030-01-01")
    assert ANY_TIME.holds(None)
    assert not ANY_TIME.narrowed(asked).holds(None)


def test_comparisons_narrow_one_another() -> None:
    span = ANY_TIME
    for operator, day in ((">=", 1), (">=", 3), ("<", 9), ("<", 7)):
        span = span.narrowed(
            Condition(name="create_time", operator=operator, value=f"2030-01-0{day}")
        )
    kept = [day for day in range(1, 10) if span.holds(datetime(2030, 1, day, tzinfo=UTC))]
    assert kept == [3, 4, 5, 6]
