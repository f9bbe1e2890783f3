"""The chunk tables of an MP4 or MOV index: where the samples lie, and when they play.

Values stay in arrays: an index of two hours has a million entries.
"""

import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

from distconv.core.errors import CorruptSourceError, UnsupportedSourceError
from distconv.media.structure.boxes import Box, child, children, parse_header

MAX_TRACKS = 128
_STBL = (b"mdia", b"minf", b"stbl")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkTable:
    """One track's chunks in their order: offsets in the file, sizes in bytes, times in ms.

    `box` is its `stco` or `co64` within the index; `path` the boxes that it lies in.
    """

    box: Box
    path: tuple[Box, ...]
    offsets: "array[int]"
    sizes: "array[int]"
    times_ms: "array[int]"

    @property
    def wide(self) -> bool:
        """Say whether the offsets are of 64 bits."""
        return self.box.kind == b"co64"


def root(moov: memoryview) -> Box:
    """Return the `moov` box that `moov` is."""
    box = parse_header(moov[:16], 0, len(moov))
    if box is None or box.end != len(moov):
        raise CorruptSourceError("the index ('moov') is damaged")
    return box


def read_tables(moov: memoryview) -> tuple[ChunkTable, ...]:
    """Read every track's chunks out of a whole `moov` box.

    Raises CorruptSourceError for a damaged index, UnsupportedSourceError for a
    compressed one.
    """
    top = root(moov)
    tables: list[ChunkTable] = []
    for box in children(moov, top):
        if box.kind == b"cmov":
            raise UnsupportedSourceError(
                "the MOV has a compressed index ('cmov'), which cannot be streamed"
            )
        if box.kind == b"trak":
            tables += _track(moov, top, box)
        if len(tables) > MAX_TRACKS:
            raise UnsupportedSourceError(f"the MP4 has more than {MAX_TRACKS} tracks")
    return tuple(tables)


def _track(moov: memoryview, top: Box, trak: Box) -> Iterator[ChunkTable]:
    path, box = [top, trak], trak
    for kind in _STBL:
        found = child(moov, box, kind)
        if found is None:
            return
        path.append(found)
        box = found
    tables = {b.kind: b for b in children(moov, box)}
    chunks = tables.get(b"co64") or tables.get(b"stco")
    if chunks is None:
        return
    offsets = _entries(moov, chunks, 8 if chunks.kind == b"co64" else 4)
    counts = _samples_per_chunk(moov, tables.get(b"stsc"), len(offsets))
    yield ChunkTable(
        box=chunks,
        path=tuple(path),
        offsets=offsets,
        sizes=_chunk_sizes(moov, tables, counts),
        times_ms=_chunk_times(moov, tables.get(b"stts"), counts, _timescale(moov, trak)),
    )


def _entries(moov: memoryview, box: Box, width: int, *, skip: int = 0) -> "array[int]":
    """Read a full box's count and so many big-endian numbers, as one flat array."""
    head = box.body + 4 + skip
    count = int.from_bytes(moov[head : head + 4], "big")
    start = head + 4
    return _numbers(moov, box, start, count, width)


def _numbers(moov: memoryview, box: Box, start: int, count: int, width: int) -> "array[int]":
    if start + count * width > box.end:
        raise CorruptSourceError("the index is damaged: a table says more entries than it holds")
    numbers = array("I" if width == 4 else "Q")
    numbers.frombytes(moov[start : start + count * width])
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _samples_per_chunk(moov: memoryview, stsc: Box | None, chunk_count: int) -> "array[int]":
    if stsc is None:
        return array("I", [0]) * chunk_count
    runs = int.from_bytes(moov[stsc.body + 4 : stsc.body + 8], "big")
    flat = _numbers(moov, stsc, stsc.body + 8, runs * 3, 4)
    counts = array("I")
    for run in range(runs):
        first = flat[3 * run]
        after = flat[3 * run + 3] if run + 1 < runs else chunk_count + 1
        if first != len(counts) + 1 or after < first:
            raise CorruptSourceError("the index is damaged: its chunks are out of order")
        counts.extend(repeat(flat[3 * run + 1], min(after, chunk_count + 1) - first))
    if len(counts) != chunk_count:
        raise CorruptSourceError("the index is damaged: its chunk counts differ")
    return counts


def _chunk_sizes(moov: memoryview, tables: dict[bytes, Box], counts: "array[int]") -> "array[int]":
    stsz = tables.get(b"stsz")
    if stsz is None:
        if b"stz2" in tables:
            raise UnsupportedSourceError("the MP4 has compact sample sizes: not streamed")
        return array("Q", [0]) * len(counts)
    uniform = int.from_bytes(moov[stsz.body + 4 : stsz.body + 8], "big")
    if uniform:
        return array("Q", (count * uniform for count in counts))
    sizes = _entries(moov, stsz, 4, skip=4)
    result, at = array("Q"), 0
    for count in counts:
        result.append(sum(sizes[at : at + count]))
        at += count
    return result


def _chunk_times(
    moov: memoryview, stts: Box | None, counts: "array[int]", timescale: int
) -> "array[int]":
    if stts is None:
        return array("Q", [0]) * len(counts)
    runs = int.from_bytes(moov[stts.body + 4 : stts.body + 8], "big")
    flat = _numbers(moov, stts, stts.body + 8, runs * 2, 4)
    times, clock, run, left = array("Q"), 0, 0, flat[0] if runs else 0
    for count in counts:
        times.append(min(clock * 1000 // timescale, 1 << 62))
        todo = count
        while todo and run < runs:
            step = min(todo, left)
            clock += step * flat[2 * run + 1]
            todo, left = todo - step, left - step
            if left == 0:
                run += 1
                left = flat[2 * run] if run < runs else 0
    return times


def _timescale(moov: memoryview, trak: Box) -> int:
    mdhd = child(moov, trak, b"mdia", b"mdhd")
    if mdhd is None or mdhd.body >= mdhd.end:
        return 1000
    at = mdhd.body + (20 if moov[mdhd.body] == 1 else 12)
    return int.from_bytes(moov[at : at + 4], "big") or 1000
