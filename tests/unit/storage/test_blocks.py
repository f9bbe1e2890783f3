import itertools
import os

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.storage import blocks as blocks_module
from distconv.storage.blocks import BlockSums, block_bytes_of

MIB = 1024 * 1024
CONTENT = os.urandom(2 * MIB + 77)


@given(st.lists(st.integers(0, len(CONTENT)), max_size=6))
def test_sums_are_those_of_the_blocks_however_the_content_comes(cuts: list[int]) -> None:
    sums = BlockSums(len(CONTENT))
    places = [0, *sorted(cuts), len(CONTENT)]
    for start, end in itertools.pairwise(places):
        sums.update(CONTENT[start:end])
    blocks = sums.result()
    assert blocks.block_bytes == MIB
    expected = [
        google_crc32c.value(CONTENT[at : at + MIB]).to_bytes(4, "big")
        for at in range(0, len(CONTENT), MIB)
    ]
    assert blocks.packed == b"".join(expected)


def test_an_empty_content_has_no_blocks() -> None:
    assert BlockSums(0).result().packed == b""


def test_large_contents_have_large_blocks_up_to_what_a_reader_can_hold() -> None:
    assert block_bytes_of(4096 * MIB) == MIB
    assert block_bytes_of(4096 * MIB + 1) == 2 * MIB
    assert block_bytes_of(20 * 1024 * MIB) == 8 * MIB
    assert block_bytes_of(1024**4) == 16 * MIB


@pytest.mark.parametrize("size_bytes", [5 * MIB + 77, 6 * MIB, 8 * MIB])
def test_blocks_of_a_content_of_unknown_size_are_those_of_a_known_one(
    size_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks_module, "_MANY_BLOCKS", 2)
    content = os.urandom(size_bytes)
    known, unknown = BlockSums(size_bytes), BlockSums()
    for sums in (known, unknown):
        sums.update(content)
    assert unknown.result() == known.result() == unknown.result()
    assert known.result().block_bytes == 4 * MIB
    unknown.update(b"more")
    assert unknown.result() != known.result()
