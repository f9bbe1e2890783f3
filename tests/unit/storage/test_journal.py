import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from distconv.core.ranges import RangeSet
from distconv.storage.providers.journal import Kind, append, boot_id, encode, header, replay

HERE, THERE = b"a" * 36, b"b" * 36


def _journal(*records: tuple[Kind, int, int], boot: bytes = HERE) -> bytes:
    return header(boot) + b"".join(encode(kind, [(start, end)]) for kind, start, end in records)


def test_the_same_boot_trusts_what_was_written() -> None:
    content = _journal((Kind.WRITTEN, 0, 5), (Kind.DURABLE, 10, 20))
    assert list(replay(content, boot=HERE)) == [(0, 5), (10, 20)]


def test_another_boot_trusts_what_was_synced_alone() -> None:
    content = _journal((Kind.WRITTEN, 0, 5), (Kind.DURABLE, 10, 20))
    assert list(replay(content, boot=THERE)) == [(10, 20)]
    assert list(replay(content, boot=b"")) == [(10, 20)]


def test_what_a_failed_sync_lost_is_not_trusted() -> None:
    content = _journal(
        (Kind.WRITTEN, 0, 5), (Kind.DURABLE, 10, 20), (Kind.LOST, 0, 0), (Kind.WRITTEN, 30, 31)
    )
    assert list(replay(content, boot=HERE)) == [(10, 20), (30, 31)]


@given(st.integers(0, 200))
def test_a_torn_end_is_ignored(kept: int) -> None:
    content = _journal((Kind.DURABLE, 0, 5), (Kind.DURABLE, 10, 20), (Kind.DURABLE, 30, 40))
    found = replay(content[:kept], boot=HERE)
    whole = max(0, (kept - 40) // 21)
    assert list(found) == [(0, 5), (10, 20), (30, 40)][:whole]


@given(st.integers(40, 102), st.integers(1, 255))
def test_nothing_is_trusted_from_a_damaged_record_on(at: int, flip: int) -> None:
    content = bytearray(
        _journal((Kind.DURABLE, 0, 5), (Kind.DURABLE, 10, 20), (Kind.DURABLE, 30, 40))
    )
    content[at] ^= flip
    assert (
        list(replay(bytes(content), boot=HERE)) == [(0, 5), (10, 20), (30, 40)][: (at - 40) // 21]
    )


@given(st.binary(max_size=200))
def test_noise_is_an_empty_journal(noise: bytes) -> None:
    assert replay(noise, boot=HERE) == RangeSet()


def test_appends_add_up(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "j", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, header(boot_id()))
    append(fd, Kind.WRITTEN, [(0, 1), (4, 5)])
    append(fd, Kind.DURABLE, [(1, 2)])
    os.close(fd)
    assert list(replay((tmp_path / "j").read_bytes(), boot=boot_id())) == [(0, 2), (4, 5)]
