import os
from itertools import pairwise

import google_crc32c
from hypothesis import given
from hypothesis import strategies as st

from distconv.engine.block_sums import BlockSums
from distconv.engine.readings import Reading, Readings

MIB = 1024 * 1024
CONTENT = os.urandom(2 * MIB + 77)


def _sum(start: int, end: int) -> int:
    return int(google_crc32c.value(CONTENT[start:end]))


@given(st.sets(st.integers(1, len(CONTENT) - 1), max_size=8), st.randoms(use_true_random=False))
def test_a_block_that_was_read_in_any_order_has_its_sum(cuts: set[int], order) -> None:
    spans = list(pairwise([0, *sorted(cuts), len(CONTENT)]))
    order.shuffle(spans)
    readings = Readings()
    for start, end in spans:
        readings.take(start, CONTENT[start:end])
    assert readings.take_whole(MIB, 2 * MIB) == _sum(MIB, 2 * MIB)
    assert readings.take_whole(2 * MIB, len(CONTENT)) == _sum(2 * MIB, len(CONTENT))
    assert readings.places() == [0]
    assert readings.take_whole(MIB, 2 * MIB) is None


def test_blocks_of_several_pieces_are_put_together() -> None:
    readings = Readings()
    readings.take(0, CONTENT)
    assert readings.take_whole(0, len(CONTENT)) == google_crc32c.value(CONTENT)
    assert readings.places() == []


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 60)), max_size=12))
def test_what_was_read_of_a_part_is_kept_as_it_was_read(spans: list[tuple[int, int]]) -> None:
    readings = Readings()
    for offset, length in spans:
        readings.take(offset, CONTENT[offset : offset + length])
    rest = readings.take_rest(0, MIB)
    assert {at for r in rest for at in range(r.start, r.end)} == {
        at for offset, length in spans for at in range(offset, offset + length)
    }
    assert all(r.crc == _sum(r.start, r.end) for r in rest)


def test_the_same_bytes_read_twice_are_kept_once_unless_they_differ() -> None:
    readings = Readings()
    for data in (b"abc", b"abc", b"abd"):
        readings.take(5, data)
    assert readings.take_rest(0, MIB) == [
        Reading(5, 8, google_crc32c.value(b"abc")),
        Reading(5, 8, google_crc32c.value(b"abd")),
    ]


def test_sums_that_fit_no_such_content_are_none() -> None:
    assert BlockSums.unpack(MIB + 1, MIB, bytes(8)) is not None
    assert BlockSums.unpack(MIB + 1, MIB, bytes(4)) is None
    assert BlockSums.unpack(MIB + 1, MIB + 1, bytes(4)) is None
    assert BlockSums.unpack(MIB, 0, b"") is None


def test_blocks_know_where_they_lie() -> None:
    blocks = BlockSums(size_bytes=2 * MIB + 77, block_bytes=MIB, crcs=(1, 2, 3))
    assert blocks.span(2) == (2 * MIB, 2 * MIB + 77)
    assert blocks.within(MIB - 1, MIB + 1) == range(2)
    assert blocks.within(MIB, 2 * MIB) == range(1, 2)
