from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from distconv.core.ranges import Range, RangeSet, pieces

SIZE = 60
ranges = st.lists(
    st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(lambda r: (min(r), max(r))),
    max_size=25,
)


def _bytes(added: list[Range]) -> set[int]:
    return {at for start, end in added for at in range(start, end)}


@given(ranges)
def test_holds_what_was_added_as_the_fewest_ranges(added: list[Range]) -> None:
    found = list(RangeSet(added))
    assert _bytes(found) == _bytes(added)
    assert all(start < end for start, end in found)
    assert all(a[1] < b[0] for a, b in pairwise(found))


@given(ranges.flatmap(lambda r: st.tuples(st.just(r), st.permutations(r))))
def test_order_does_not_matter(both: tuple[list[Range], list[Range]]) -> None:
    assert RangeSet(both[0]) == RangeSet(both[1])


@given(ranges, st.integers(0, SIZE), st.integers(0, SIZE))
def test_gaps_are_what_is_missing(added: list[Range], start: int, end: int) -> None:
    gaps = list(RangeSet(added).gaps(start, end))
    assert _bytes(gaps) == set(range(start, end)) - _bytes(added)
    assert RangeSet(gaps) == RangeSet(sorted(gaps))
    assert len(RangeSet(gaps)) == len(gaps)


@given(ranges, st.integers(0, SIZE), st.integers(0, SIZE))
def test_covers_agrees_with_gaps(added: list[Range], start: int, end: int) -> None:
    held = RangeSet(added)
    assert held.covers(start, end) == (not list(held.gaps(start, end)))


@given(ranges, st.integers(0, SIZE))
def test_a_run_ends_at_the_first_missing_byte(added: list[Range], at: int) -> None:
    missing = at
    while missing in _bytes(added):
        missing += 1
    assert RangeSet(added).end_of_run(at) == missing


@given(ranges)
def test_size_and_end(added: list[Range]) -> None:
    held = RangeSet(added)
    assert held.size_bytes == len(_bytes(added))
    assert held.end == max(_bytes(added), default=-1) + 1


def test_a_copy_is_independent() -> None:
    held = RangeSet([(0, 5)])
    twin = held.copy()
    twin.add(9, 10)
    assert list(held) == [(0, 5)]
    assert repr(twin) == "RangeSet([(0, 5), (9, 10)])"
    assert held != [(0, 5)]


@given(ranges)
def test_add_tells_how_many_bytes_are_new(added: list[Range]) -> None:
    held, reference = RangeSet(), set[int]()
    for start, end in added:
        new = set(range(start, end)) - reference
        assert held.add(start, end) == len(new)
        reference |= new


def test_pieces_are_no_longer_than_asked() -> None:
    assert list(pieces([(0, 5), (10, 12)], 2)) == [(0, 2), (2, 4), (4, 5), (10, 12)]
