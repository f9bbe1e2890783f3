"""Where the bytes of each track lie in a streamed MP4 (ISO/IEC 14496-12 §8.8)."""

import sys
from array import array
from collections.abc import Iterator

from distconv.core.errors import CorruptSourceError, UnsupportedSourceError
from distconv.media.ports import RangedSource
from distconv.media.structure.boxes import Box, child, children, parse_header
from distconv.media.structure.chunks import MAX_TRACKS, read_tables, root

Extent = tuple[int, int]
"""Bytes in a row: (offset, length)."""

_MAX_HEADER_BYTES = 128 << 20
# Flags of `tfhd` and `trun`.
_HAS_BASE, _HAS_DESCRIPTION, _HAS_DURATION, _HAS_SIZE = 0x1, 0x2, 0x8, 0x10
_BASE_IS_MOOF = 0x20000
_HAS_OFFSET, _HAS_FIRST_FLAGS = 0x1, 0x4
_SAMPLE_FIELDS = (0x100, 0x200, 0x400, 0x800)
_SAMPLE_SIZE = 0x200


async def read_tracks(source: RangedSource) -> list[list[Extent]]:
    """Return for each track, in the order of the index, where its bytes lie, in their order.

    Reads the index and the header of every fragment. Raises CorruptSourceError
    or UnsupportedSourceError.
    """
    tracks: dict[int, list[Extent]] = {}
    defaults: dict[int, int] = {}
    offset = 0
    while offset < source.size_bytes:
        box = parse_header(await source.read(offset, 16), offset, source.size_bytes)
        if box is None or box.end > source.size_bytes:
            break
        if box.kind in (b"moov", b"moof"):
            if box.size_bytes > _MAX_HEADER_BYTES:
                raise UnsupportedSourceError("a header of the streamed MP4 is too large")
            data = memoryview(await source.read(offset, box.size_bytes))
            if box.kind == b"moov":
                tracks, defaults = _index(data)
            else:
                _add_fragment(data, offset, tracks, defaults)
        offset = box.end
    return list(tracks.values())


def _index(moov: memoryview) -> tuple[dict[int, list[Extent]], dict[int, int]]:
    """Return what the index itself holds of each track, and the sizes of samples by default."""
    top = root(moov)
    ids = [_track_id(moov, box) for box in children(moov, top) if box.kind == b"trak"]
    tables = read_tables(moov)
    if len(tables) != len(ids) or len(ids) > MAX_TRACKS:
        raise UnsupportedSourceError("the streamed MP4 has a track without a table of its chunks")
    tracks = {
        track: list(zip(table.offsets, table.sizes, strict=True))
        for track, table in zip(ids, tables, strict=True)
    }
    extends = child(moov, top, b"mvex")
    boxes = children(moov, extends) if extends is not None else ()
    defaults = {
        _number(moov, box.body + 4): _number(moov, box.body + 16)
        for box in boxes
        if box.kind == b"trex"
    }
    return tracks, defaults


def _track_id(moov: memoryview, trak: Box) -> int:
    header = child(moov, trak, b"tkhd")
    if header is None:
        raise CorruptSourceError("the streamed MP4 has a track without a header")
    return _number(moov, header.body + (20 if moov[header.body] == 1 else 12))


def _add_fragment(
    moof: memoryview, offset: int, tracks: dict[int, list[Extent]], defaults: dict[int, int]
) -> None:
    top = parse_header(moof[:16], 0, len(moof))
    if top is None:
        raise CorruptSourceError("a fragment of the streamed MP4 is damaged")
    for box in children(moof, top):
        if box.kind != b"traf":
            continue
        header = child(moof, box, b"tfhd")
        if header is None:
            raise CorruptSourceError("a fragment of the streamed MP4 is damaged")
        track, base, size = _fragment_header(moof, header, offset, defaults)
        if track not in tracks:
            raise CorruptSourceError("a fragment of the streamed MP4 is of no track")
        tracks[track] += _runs(moof, box, base, size)


def _fragment_header(
    moof: memoryview, header: Box, moof_offset: int, defaults: dict[int, int]
) -> tuple[int, int, int]:
    """Return the track, from where its offsets count, and the size of samples by default."""
    flags = _number(moof, header.body) & 0xFFFFFF
    track, at = _number(moof, header.body + 4), header.body + 8
    base = moof_offset
    if flags & _HAS_BASE:
        base, at = _number(moof, at, 8), at + 8
    elif not flags & _BASE_IS_MOOF:
        raise UnsupportedSourceError("a fragment of the streamed MP4 counts from another one")
    at += 4 * (bool(flags & _HAS_DESCRIPTION) + bool(flags & _HAS_DURATION))
    size = _number(moof, at) if flags & _HAS_SIZE else defaults.get(track, 0)
    return track, base, size


def _runs(moof: memoryview, traf: Box, base: int, default_size: int) -> Iterator[Extent]:
    at = base
    for run in children(moof, traf):
        if run.kind != b"trun":
            continue
        flags, count = _number(moof, run.body) & 0xFFFFFF, _number(moof, run.body + 4)
        start = run.body + 8
        if flags & _HAS_OFFSET:
            at, start = base + _signed(_number(moof, start)), start + 4
        if flags & _HAS_FIRST_FLAGS:
            start += 4
        length = _run_bytes(moof, run, start, flags, count, default_size)
        yield at, length
        at += length


def _run_bytes(
    moof: memoryview, run: Box, start: int, flags: int, count: int, default_size: int
) -> int:
    if not flags & _SAMPLE_SIZE:
        return count * default_size
    fields = [field for field in _SAMPLE_FIELDS if flags & field]
    end = start + 4 * len(fields) * count
    if end > run.end:
        raise CorruptSourceError("a fragment of the streamed MP4 says more samples than it holds")
    numbers = array("I")
    numbers.frombytes(moof[start:end])
    if sys.byteorder == "little":
        numbers.byteswap()
    return sum(numbers[fields.index(_SAMPLE_SIZE) :: len(fields)])


def _number(data: memoryview, at: int, width: int = 4) -> int:
    return int.from_bytes(data[at : at + width], "big")


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value
