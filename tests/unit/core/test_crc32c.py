import os

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.core.crc32c import combine


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_the_sum_of_two_pieces_is_made_of_theirs(first: bytes, second: bytes) -> None:
    one, other = google_crc32c.value(first), google_crc32c.value(second)
    assert combine(one, other, len(second)) == google_crc32c.value(first + second)


@pytest.mark.parametrize("length", [256 * 1024, 1024 * 1024, 1024 * 1024 + 77, 16 * 1024 * 1024])
def test_however_long_the_second_is(length: int) -> None:
    first, second = os.urandom(1000), os.urandom(length)
    one, other = google_crc32c.value(first), google_crc32c.value(second)
    assert combine(one, other, length) == google_crc32c.value(first + second)
