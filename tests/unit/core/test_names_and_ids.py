"""Ids sort by time and are read as people type them; names hold what they say."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distconv.core import names
from distconv.core.errors import InvalidArgumentError
from distconv.core.ids import ID_LENGTH, new_id, parse_id_prefix

TIMES = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001  # the zone is given apart
    max_value=datetime(3000, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
NOISE = st.integers(0, 2**35 - 1)
ID = "1q3dcbd00vg55yya"


@settings(deadline=None)
@given(TIMES, TIMES, NOISE, NOISE)
def test_ids_sort_by_time(first: datetime, second: datetime, a: int, b: int) -> None:
    early, late = sorted((first, second))
    if late - early >= timedelta(milliseconds=1):
        assert new_id(early, randomness=a) < new_id(late, randomness=b)


@settings(deadline=None)
@given(TIMES, NOISE, st.integers(1, ID_LENGTH))
def test_any_prefix_of_an_id_is_read(now: datetime, noise: int, length: int) -> None:
    made = new_id(now, randomness=noise)
    assert names.is_id(made)
    assert parse_id_prefix(made.upper()[:length]) == made[:length]


@pytest.mark.parametrize("text", ["", "jobs/", "x" * 17, "u", "a b", "../../x", "a\0"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_id_prefix(text)
    assert not names.is_id(text)


def test_names_come_back() -> None:
    name = names.attempt_name(ID, ID[::-1], ID)
    ref = names.parse_attempt(name)
    assert (ref.job, ref.task, ref.attempt) == (ID, ID[::-1], ID)
    assert names.parse_prefix("jobs/1Q3D", "jobs") == "1q3d"
    assert names.parse_prefix("1q3d", "jobs") == "1q3d"
    assert names.parse_id(f"objects/{ID}", "objects") == ID
    assert names.engine_name("") == names.object_name("") == ""


@pytest.mark.parametrize(
    "name",
    [
        "",
        f"jobs/{ID}/tasks/{ID}",
        f"jobs/{ID}/tasks/{ID}/attempts/{ID}/more/{ID}",
        f"jobs/{ID}/tasks/../attempts/{ID}",
        f"tasks/{ID}/jobs/{ID}/attempts/{ID}",
    ],
)
def test_what_is_no_attempt_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError):
        names.parse_attempt(name)


def test_what_is_no_object_is_refused() -> None:
    for name in ("", ID, f"jobs/{ID}", "objects/short", f"objects/{ID}/x"):
        with pytest.raises(InvalidArgumentError) as caught:
            names.parse_id(name, "objects", field="source")
        assert caught.value.field == "source"
