import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.core.errors import DataLossError
from distconv.engine.shared_folder import Proof, is_below, prove, random_ranges


@given(st.integers(min_value=0, max_value=1 << 45))
def test_ranges_lie_within_the_file_and_reach_both_its_ends(size: int) -> None:
    ranges = random_ranges(size)
    assert all(offset >= 0 and length > 0 and offset + length <= size for offset, length in ranges)
    assert len(ranges) <= 16
    if size:
        assert ranges[0][0] == 0
        assert sum(ranges[-1]) == size


def test_ranges_are_others_each_time() -> None:
    assert random_ranges(1 << 40) != random_ranges(1 << 40)


@pytest.mark.parametrize("path", ["objects/a/data/b", "a", "a.b/..c"])
def test_a_path_below_is_taken(path: str) -> None:
    assert is_below(path)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../a", "a/../../b", "a/..", "a\0b", "//a"])
def test_a_path_that_leads_out_is_not(path: str) -> None:
    assert not is_below(path)


def proofs(data: bytes) -> list[Proof]:
    return [
        ((offset, length), hashlib.sha256(data[offset : offset + length]).hexdigest())
        for offset, length in random_ranges(len(data))
    ]


@given(st.binary(min_size=1, max_size=3000))
def test_the_same_bytes_are_proved(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("shared") / "file"
    path.write_bytes(data)
    os.close(prove(path, len(data), proofs(data)))


@given(st.binary(min_size=1, max_size=3000), st.data())
def test_other_bytes_are_not(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, draw: st.DataObject
) -> None:
    """A small file is proved whole: one flipped bit anywhere is seen."""
    path = tmp_path_factory.mktemp("shared") / "file"
    other = bytearray(data)
    other[draw.draw(st.integers(0, len(data) - 1))] ^= 1
    path.write_bytes(other)
    with pytest.raises(DataLossError, match="other bytes"):
        prove(path, len(data), proofs(data))
    path.write_bytes(data + b"x")
    with pytest.raises(DataLossError, match="bytes, the object"):
        prove(path, len(data), proofs(data))


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "absent", "."):
        with pytest.raises((OSError, DataLossError)):
            prove(tmp_path / name, 3, proofs(b"abc"))
