import io
import random

from hypothesis import given
from hypothesis import strategies as st

from distconv.client.source import SourceFile
from distconv.client.upload_order import first_ranges, ordered
from distconv.core.ranges import Range, RangeSet

KIB = 1024


def box(kind: bytes, size_bytes: int) -> bytes:
    return size_bytes.to_bytes(4, "big") + kind + bytes(size_bytes - 8)


async def first_of(content: bytes) -> list[Range]:
    with SourceFile.open(io.BytesIO(content)) as source:
        return await first_ranges(source)


async def test_of_an_mp4_all_but_the_media_goes_first_wherever_it_lies() -> None:
    media, index = 3_000_000, 40_000
    content = box(b"ftyp", 32) + box(b"mdat", media) + box(b"moov", index) + box(b"uuid", 100)
    first = await first_of(content)
    assert first[0] == (0, 256 * KIB)
    asked = RangeSet(first)
    assert asked.covers(32 + media, len(content))
    # A probe reads whole blocks: none that holds a part of the index may wait for the media.
    assert asked.covers((32 + media) // (256 * KIB) * 256 * KIB, len(content))
    assert asked.size_bytes < 800 * KIB


async def test_of_a_fragmented_mp4_the_headers_go_first() -> None:
    fragments = (box(b"moof", 500) + box(b"mdat", 400_000)) * 5
    content = box(b"ftyp", 32) + box(b"moov", 800) + fragments
    asked = RangeSet(await first_of(content))
    assert asked.covers(832 + 400_500, 832 + 400_500 + 16)
    assert asked.size_bytes < 300 * KIB


async def test_of_other_files_the_tail_goes_first() -> None:
    content = b"\x1a\x45\xdf\xa3" + random.Random(1).randbytes(4_000_000)  # noqa: S311
    assert await first_of(content) == [(0, 256 * KIB), (len(content) - 512 * KIB, len(content))]


async def test_what_is_no_video_goes_in_its_order() -> None:
    assert await first_of(b"just words " * 1000) == []
    assert await first_of(box(b"ftyp", 32) + b"\0\0\0\1mdat") == []


_RANGES = st.lists(
    st.tuples(st.integers(0, 100), st.integers(0, 30)).map(lambda r: (r[0], r[0] + r[1]))
)


@given(missing=_RANGES, first=_RANGES)
def test_every_missing_byte_goes_once_and_the_first_ones_first(
    missing: list[Range], first: list[Range]
) -> None:
    result = ordered(RangeSet(missing), first)
    sent = [byte for start, end in result for byte in range(start, end)]
    assert sorted(sent) == sorted({b for start, end in missing for b in range(start, end)})
    urgent = {b for start, end in first for b in range(start, end)} & set(sent)
    assert set(sent[: len(urgent)]) == urgent
