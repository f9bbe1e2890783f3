import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.core.errors import CorruptSourceError, MediaError, UnsupportedSourceError
from distconv.media.ports import BytesSource
from distconv.media.structure.asf import FILE_PROPERTIES, HEADER
from distconv.media.structure.boxes import MAX_TOP_LEVEL
from distconv.media.structure.check import Checked, check_structure
from distconv.media.structure.sniff import Structure


def box(kind: bytes, body: bytes = b"", *, size: int | None = None) -> bytes:
    return struct.pack(">I4s", len(body) + 8 if size is None else size, kind) + body


FTYP = box(b"ftyp", b"isom\0\0\2\0isom")
MOOV = box(b"moov", bytes(100))
MDAT = box(b"mdat", bytes(1000))

_EBML = bytes.fromhex("1a45dfa3 8b 4282 88") + b"matroska"
_SEGMENT = bytes.fromhex("18538067")


def segment(size: int, body: bytes) -> bytes:
    return _EBML + _SEGMENT + b"\x01" + size.to_bytes(7, "big") + body


async def check(data: bytes) -> Checked:
    return await check_structure(BytesSource(data))


async def test_an_empty_file_is_corrupt() -> None:
    with pytest.raises(CorruptSourceError, match="the file is empty"):
        await check(b"")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "an HLS playlist"),
        (b"\xef\xbb\xbf \n#EXTM3U8", "an HLS playlist"),
        ("#EXTM3U\n".encode("utf-16"), "an HLS playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "an ffconcat script"),
        (b"file '/etc/passwd'\n", "an ffconcat script"),
        (
            b'<?xml version="1.0"?>\n<MPD xmlns="x"><BaseURL>/etc/</BaseURL></MPD>',
            "a DASH manifest",
        ),
        (b"<SmoothStreamingMedia/>", "a Smooth Streaming manifest"),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", "an SDP session description"),
        (b"<svg/>", "an SVG picture"),
        (b"<!DOCTYPE html><p>", "a web page"),
        (b"<x/>", "an XML document"),
        (b"[playlist]\nFile1=/etc/passwd\n", "a playlist"),
        (b"Dear Sir or Madam,\n", "text"),
        (b"\n \n", "text"),
    ],
)
async def test_text_of_any_kind_is_refused_by_name(data: bytes, what: str) -> None:
    with pytest.raises(UnsupportedSourceError, match=f"the file is {what}, not video"):
        await check(data)


async def test_an_mp4_is_taken_in_either_order() -> None:
    assert not (await check(FTYP + MOOV + MDAT)).index_last
    assert (await check(FTYP + MDAT + MOOV)).index_last


async def test_an_mp4_cut_within_its_media_says_by_how_much() -> None:
    whole = FTYP + MOOV + MDAT
    with pytest.raises(
        CorruptSourceError, match=r"cut short: its 'mdat' needs 1136 bytes.*only 600"
    ):
        await check(whole[:600])


async def test_an_mp4_without_an_index_is_corrupt() -> None:
    with pytest.raises(CorruptSourceError, match="has no index"):
        await check(FTYP + MDAT)


@pytest.mark.parametrize("tail", [b"\0", b"\0\0\0\0\0\0\0\0", b"\xff" * 100, b"TAG" + bytes(125)])
async def test_junk_behind_a_whole_mp4_is_no_damage(tail: bytes) -> None:
    checked = await check(FTYP + MOOV + MDAT + tail)
    assert checked.boxes is not None
    assert checked.boxes.trailing_bytes in (0, len(tail))


async def test_media_may_reach_to_the_end_without_a_size() -> None:
    checked = await check(FTYP + MOOV + box(b"mdat", bytes(50), size=0))
    assert checked.boxes is not None
    assert checked.boxes.boxes[-1].size_bytes == 58


@pytest.mark.parametrize("size", [1, 2, 7, 2**32 - 1])
async def test_a_hostile_size_is_refused(size: int) -> None:
    with pytest.raises(CorruptSourceError):
        await check(FTYP + box(b"mdat", bytes(20), size=size))


async def test_a_hostile_large_size_is_refused() -> None:
    large = struct.pack(">I4sQ", 1, b"mdat", 2**63)
    with pytest.raises(CorruptSourceError, match="cut short"):
        await check(FTYP + MOOV + large + bytes(100))


async def test_a_file_of_very_many_boxes_is_not_read_through() -> None:
    checked = await check(FTYP + MOOV + box(b"moof") * 100_000)
    assert checked.boxes is not None
    assert checked.boxes.partial
    assert len(checked.boxes.boxes) == MAX_TOP_LEVEL


async def test_a_whole_matroska_is_taken() -> None:
    assert (await check(segment(100, bytes(100)))).structure is Structure.MATROSKA


async def test_a_matroska_of_unknown_size_is_taken() -> None:
    assert (await check(_EBML + _SEGMENT + b"\x01" + b"\xff" * 7)).structure is Structure.MATROSKA


async def test_a_matroska_cut_in_half_says_by_how_much() -> None:
    with pytest.raises(CorruptSourceError, match=r"needs 128 bytes.*only 78"):
        await check(segment(100, bytes(50)))


async def test_a_matroska_header_alone_is_corrupt() -> None:
    with pytest.raises(CorruptSourceError, match="nothing but its header"):
        await check(_EBML)


async def test_other_ebml_is_not_taken() -> None:
    with pytest.raises(UnsupportedSourceError, match="type 'other'"):
        await check(bytes.fromhex("1a45dfa3 88 4282 85") + b"other")


async def test_an_avi_cut_short_is_corrupt() -> None:
    whole = b"RIFF" + (200).to_bytes(4, "little") + b"AVI " + bytes(196)
    assert (await check(whole)).structure is Structure.RIFF
    with pytest.raises(CorruptSourceError, match=r"needs 208 bytes.*only 100"):
        await check(whole[:100])


async def test_a_riff_that_was_never_finished_says_nothing() -> None:
    data = b"RIFF" + b"\xff\xff\xff\xff" + b"WAVE" + bytes(20)
    assert (await check(data)).structure is Structure.RIFF


def _asf(size_bytes: int, *, broadcast: bool = False) -> bytes:
    other = bytes(16) + (30).to_bytes(8, "little") + bytes(6)
    properties = FILE_PROPERTIES + (104).to_bytes(8, "little") + bytes(16)
    properties += size_bytes.to_bytes(8, "little") + bytes(40)
    properties += int(broadcast).to_bytes(4, "little") + bytes(12)
    return HEADER + bytes(14) + other + properties + bytes(100)


async def test_an_asf_cut_short_is_corrupt() -> None:
    whole = _asf(len(_asf(0)))
    assert (await check(whole)).structure is Structure.ASF
    with pytest.raises(CorruptSourceError, match="cut short"):
        await check(whole[:-1])


async def test_a_broadcast_asf_promises_no_size() -> None:
    assert (await check(_asf(1 << 40, broadcast=True))).structure is Structure.ASF


_STARTS = st.sampled_from(
    [
        _asf(1000)[:100],
        HEADER,
        b"",
        FTYP,
        FTYP + MOOV,
        _EBML,
        _EBML + _SEGMENT,
        b"RIFF",
        b"\0\0\0\1ftyp",
    ]
)


@given(start=_STARTS, rest=st.binary(max_size=300))
async def test_any_bytes_raise_media_errors_at_most(start: bytes, rest: bytes) -> None:
    try:
        checked = await check(start + rest)
    except MediaError:
        return
    assert checked.structure in Structure
