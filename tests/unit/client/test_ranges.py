import itertools

from hypothesis import given
from hypothesis import strategies as st

from distconv.client.ranges import RangeSet, pieces

_SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)))


@given(_SPANS)
def test_a_range_set_is_the_set_of_its_bytes(spans: list[tuple[int, int]]) -> None:
    found, reference = RangeSet(), set[int]()
    for start, end in spans:
        new = set(range(start, end)) - reference
        assert found.add(start, end) == len(new)
        reference |= new
    assert len(found) == len(reference)
    listed = list(found)
    assert {byte for a, b in listed for byte in range(a, b)} == reference
    assert all(before[1] < after[0] for before, after in itertools.pairwise(listed))


@given(_SPANS, st.integers(0, 70))
def test_missing_is_the_rest(spans: list[tuple[int, int]], size: int) -> None:
    found = RangeSet(spans)
    held = {byte for a, b in found for byte in range(a, b)}
    missing = [byte for a, b in found.missing(size) for byte in range(a, b)]
    assert missing == [byte for byte in range(size) if byte not in held]


def test_pieces_are_no_longer_than_asked() -> None:
    assert list(pieces([(0, 5), (10, 12)], 2)) == [(0, 2), (2, 4), (4, 5), (10, 12)]
