from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.core.errors import InvalidArgumentError
from distconv.core.ids import new_id
from distconv.dispatch.reading.listing import make_token, page_size, read_token

_ID = new_id(datetime(2030, 1, 1, tzinfo=UTC), randomness=7)


@given(
    st.none()
    | st.integers(-100, 100)
    | st.text(max_size=20)
    | st.datetimes(timezones=st.just(UTC)),
    st.lists(st.text(max_size=20), max_size=4),
)
def test_a_token_comes_back_for_its_own_listing_only(value: object, of: list[str]) -> None:
    token = make_token(of, _ID, value)  # type: ignore[arg-type]
    assert read_token(token, of) == (_ID, value)
    with pytest.raises(InvalidArgumentError) as caught:
        read_token(token, [*of, "more"])
    assert caught.value.field == "page_token"


@given(st.text(max_size=80) | st.binary(max_size=60).map(lambda b: b.hex()))
def test_what_is_no_token_is_refused(token: str) -> None:
    if not token:
        assert read_token(token, ()) == ("", None)
        return
    with pytest.raises(InvalidArgumentError):
        read_token(token, ())


def test_page_sizes() -> None:
    assert page_size(0) == 50
    assert page_size(1000) == 1000
    for wrong in (-1, 1001):
        with pytest.raises(InvalidArgumentError):
            page_size(wrong)
