"""The order in which a source's bytes go down a pipe: virtual fast start.

Most cameras and editors write MP4 and MOV with the index (`moov`) behind the
media, and no pipe reader can use that. A `Layout` puts the index first, its
chunk offsets moved accordingly, and, where the tracks lie one after another,
the chunks in order of time: as a remuxer would lay them out, without a copy.
"""

import heapq
import sys
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from distconv.core.errors import CorruptSourceError, UnsupportedSourceError
from distconv.media.ports import RangedSource
from distconv.media.structure.boxes import Box, TopLevel, require_index, scan_top_level
from distconv.media.structure.chunk_offsets import rewrite
from distconv.media.structure.chunks import ChunkTable, read_tables

# Demuxers that need no seeking: what they read is whole as it comes.
PIPEABLE = frozenset({
    "aac", "ac3", "asf", "avi", "dts", "dv", "eac3", "flac", "flv", "gxf", "h264", "hevc", "ivf",
    "m4v", "matroska", "mp3", "mpeg", "mpegts", "mpegvideo", "nut", "obu", "ogg", "truehd", "vc1",
    "w64", "wav", "yuv4mpegpipe",
})  # fmt: skip
_MDAT_HEADER_BYTES = 16


class LayoutKind(StrEnum):
    """How a layout orders the source; FILE: it is read as a file, in any order."""

    AS_IS = "as_is"
    INDEX_FIRST = "index_first"
    INTERLEAVED = "interleaved"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Literal:
    """Bytes that are not in the source as they are."""

    data: bytes

    @property
    def length(self) -> int:
        """Return how many."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class SourceRange:
    """Bytes of the source."""

    offset: int
    length: int


Segment = Literal | SourceRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The bytes to feed, in order; `reason` says why in that order."""

    kind: LayoutKind
    segments: tuple[Segment, ...]
    reason: str

    @property
    def size_bytes(self) -> int:
        """Return how many bytes it has."""
        return sum(segment.length for segment in self.segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutLimits:
    """What a layout may cost.

    `max_index_bytes`: the largest `moov` that is read into memory (a 10 h film
    with an entry per frame has about 30 MiB). `max_lead_bytes`: how much one
    track may run ahead of another before the chunks are put in order of time;
    a pipe reader has to hold that much. `max_chunk_bytes`: the largest chunk
    that may be left, since chunks are not cut.
    """

    max_index_bytes: int = 128 << 20
    max_lead_bytes: int = 8 << 20
    max_chunk_bytes: int = 64 << 20


def as_is(size_bytes: int, reason: str) -> Layout:
    """Lay the source out as it is."""
    return Layout(kind=LayoutKind.AS_IS, segments=(SourceRange(0, size_bytes),), reason=reason)


async def lay_out(
    source: RangedSource, container: str, limits: LayoutLimits | None = None
) -> Layout:
    """Decide how a source of `container` (ffmpeg's demuxer name) goes down a pipe.

    Raises UnsupportedSourceError when it cannot be streamed, so that it has to
    be transferred as a file; CorruptSourceError when its index is damaged.
    """
    limits = limits or LayoutLimits()
    if container == "mov":
        return await _lay_out_mov(source, limits)
    if container in PIPEABLE:
        return as_is(source.size_bytes, f"{container} is read from front to back")
    raise UnsupportedSourceError(
        f"'{container}' cannot be streamed: its reader has to seek",
        metadata={"container": container},
    )


async def _lay_out_mov(source: RangedSource, limits: LayoutLimits) -> Layout:
    found = await scan_top_level(source)
    if found.partial or found.fragmented:
        return as_is(source.size_bytes, "the MP4 is fragmented")
    require_index(found)
    moov = found.first(b"moov")
    if moov is None or found.first(b"mdat") is None:
        raise CorruptSourceError("the MP4 holds no media ('mdat')")
    if moov.size_bytes > limits.max_index_bytes:
        raise UnsupportedSourceError(
            f"the MP4's index has {moov.size_bytes} bytes, above the limit of "
            f"{limits.max_index_bytes}: it cannot be streamed",
            metadata={"index_bytes": str(moov.size_bytes)},
        )
    index = await source.read(moov.offset, moov.size_bytes)
    if len(index) != moov.size_bytes:
        raise CorruptSourceError("the source ended within its index")
    return arrange(index, found, source.size_bytes, limits)


def arrange(index: bytes, found: TopLevel, size_bytes: int, limits: LayoutLimits) -> Layout:
    """Choose the layout of an MP4 from its index and its top-level boxes; pure."""
    tables = read_tables(memoryview(index))
    if lead_bytes(tables) > limits.max_lead_bytes:
        return interleaved(index, tables, found, size_bytes, limits)
    if not found.index_last:
        return as_is(size_bytes, "the MP4 has its index first")
    return index_first(index, tables, found, size_bytes)


def index_first(
    index: bytes, tables: Sequence[ChunkTable], found: TopLevel, size_bytes: int
) -> Layout:
    """Put the index before the first media box, everything else as it was."""
    moov, mdat = _need(found, b"moov"), _need(found, b"mdat")

    def moved(new_bytes: int) -> Callable[[int], int]:
        def move(offset: int) -> int:
            if offset < mdat.offset:
                return offset
            return offset + new_bytes - (moov.size_bytes if offset >= moov.end else 0)

        return move

    rewritten = rewrite(index, tables, lambda size: [map(moved(size), t.offsets) for t in tables])
    segments: list[Segment] = [SourceRange(0, mdat.offset)] if mdat.offset else []
    segments += [Literal(rewritten), SourceRange(mdat.offset, moov.offset - mdat.offset)]
    if moov.end < size_bytes:
        segments.append(SourceRange(moov.end, size_bytes - moov.end))
    return Layout(
        kind=LayoutKind.INDEX_FIRST,
        segments=tuple(segments),
        reason="the MP4's index lies behind its media: it is sent first",
    )


def interleaved(
    index: bytes,
    tables: Sequence[ChunkTable],
    found: TopLevel,
    size_bytes: int,
    limits: LayoutLimits,
) -> Layout:
    """Put the index first and the chunks in order of time into one media box.

    Raises UnsupportedSourceError when whole chunks in order of time are still
    too much to hold.
    """
    total = sum(sum(t.sizes) for t in tables)
    largest = max((size for t in tables for size in t.sizes), default=0)
    if total > size_bytes or largest > limits.max_chunk_bytes:
        raise UnsupportedSourceError(
            "the MP4's tracks lie one after another in pieces too large to be streamed"
        )
    _check_ranges(tables, size_bytes)
    order = _by_time(tables)
    head = [box for box in found.boxes if box.kind == b"ftyp"]
    head_bytes = sum(box.size_bytes for box in head)

    def offsets(new_bytes: int) -> list[Iterable[int]]:
        at = head_bytes + new_bytes + _MDAT_HEADER_BYTES
        placed = [array("Q", [0]) * len(t.offsets) for t in tables]
        for track, number in order:
            placed[track][number] = at
            at += tables[track].sizes[number]
        return list(placed)

    rewritten = rewrite(index, tables, offsets)
    mdat = (1).to_bytes(4, "big") + b"mdat" + (total + _MDAT_HEADER_BYTES).to_bytes(8, "big")
    media = ((tables[t].offsets[n], tables[t].sizes[n]) for t, n in order)
    return Layout(
        kind=LayoutKind.INTERLEAVED,
        segments=(
            *(SourceRange(box.offset, box.size_bytes) for box in head),
            Literal(rewritten + mdat),
            *_coalesced(media),
        ),
        reason="the MP4's tracks lie one after another: they are sent in order of time",
    )


def lead_bytes(tables: Sequence[ChunkTable]) -> int:
    """Return how many bytes a reader has to hold at most, going through the file as it lies.

    A chunk is held while another track has one for an earlier time still to come.
    """
    ahead: list[deque[tuple[int, int]]] = [deque() for _ in tables]
    nexts = [0] * len(tables)
    held = worst = 0
    for _, track, number in _by_offset(tables):
        table = tables[track]
        nexts[track] = number + 1
        ahead[track].append((table.times_ms[number], table.sizes[number]))
        held += table.sizes[number]
        due = min(
            (t.times_ms[n] for t, n in zip(tables, nexts, strict=True) if n < len(t.times_ms)),
            default=sys.maxsize,
        )
        for queue in ahead:
            while queue and queue[0][0] <= due:
                held -= queue.popleft()[1]
        worst = max(worst, held)
    return worst


def _by_offset(tables: Sequence[ChunkTable]) -> Iterator[tuple[int, int, int]]:
    def track(k: int) -> Iterator[tuple[int, int, int]]:
        return ((offset, k, n) for n, offset in enumerate(tables[k].offsets))

    return heapq.merge(*(track(k) for k in range(len(tables))))


def _by_time(tables: Sequence[ChunkTable]) -> list[tuple[int, int]]:
    def track(k: int) -> Iterator[tuple[int, int, int]]:
        return ((time, k, n) for n, time in enumerate(tables[k].times_ms))

    merged = heapq.merge(*(track(k) for k in range(len(tables))))
    return [(track_number, number) for _, track_number, number in merged]


def _coalesced(ranges: Iterable[tuple[int, int]]) -> Iterator[SourceRange]:
    start = length = 0
    for offset, size in ranges:
        if length and offset == start + length:
            length += size
            continue
        if length:
            yield SourceRange(start, length)
        start, length = offset, size
    if length:
        yield SourceRange(start, length)


def _check_ranges(tables: Sequence[ChunkTable], size_bytes: int) -> None:
    for table in tables:
        for offset, size in zip(table.offsets, table.sizes, strict=True):
            if offset + size > size_bytes:
                raise CorruptSourceError(
                    "the MP4 is damaged: its index points beyond the end of the file"
                )


def _need(found: TopLevel, kind: bytes) -> Box:
    box = found.first(kind)
    if box is None:
        raise CorruptSourceError(f"the MP4 has no '{kind.decode()}'")
    return box
