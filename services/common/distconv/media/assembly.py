"""Make a finished file out of the stream that it was finished from, without fetching it again.

Finishing copies packets: it puts an index in front and lays the rest out anew.
In an MP4 the bytes of each track, one after another, are the same in stream
and file; in a Matroska the clusters are, byte for byte, because finishing cuts
them as the stream has them. Whoever holds the stream therefore needs of the
file what describes it, and nothing else. Nothing here is taken on trust: the
file is compared with its digest when it is put together.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from distconv.core.errors import UnsupportedSourceError
from distconv.core.ranges import Range, RangeSet
from distconv.media.ports import RangedSource
from distconv.media.structure.boxes import scan_top_level
from distconv.media.structure.chunks import read_tables
from distconv.media.structure.ebml import CLUSTER, SEGMENT, Element, parse_element
from distconv.media.structure.fragments import Extent, read_tracks

_HEADER_BYTES = 16
_EBML = 0x1A45DFA3
# A film of ten hours has an index of some 30 MiB.
_MAX_INDEX_BYTES = 128 << 20
# Before the first cluster stand a handful of elements, in a hostile file any number.
_MAX_ELEMENTS = 1_000


@dataclass(frozen=True, slots=True)
class Copy:
    """Bytes of the file that are also in the stream."""

    target: int
    source: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What of a file of `size_bytes` is in the stream; `copies` are in order of `target`."""

    size_bytes: int
    copies: tuple[Copy, ...]

    @property
    def copied_bytes(self) -> int:
        """Return how much of the file is in the stream."""
        return sum(copy.length for copy in self.copies)

    @property
    def scattered_bytes(self) -> int:
        """Return how much of the file is not in the stream, and lies before what is."""
        if not self.copies:
            return self.size_bytes
        last = self.copies[-1]
        return last.target + last.length - self.copied_bytes

    def missing(self) -> list[Range]:
        """Return what of the file is not in the stream."""
        found = RangeSet((c.target, c.target + c.length) for c in self.copies)
        return list(found.gaps(0, self.size_bytes))


async def plan_assembly(
    stream: RangedSource, target: RangedSource, *, is_whole: bool = True
) -> Assembly:
    """Find out which bytes of the finished file `target` are in the stream that it was made of.

    With `is_whole` false the stream breaks off somewhere. Reads all headers of `stream`, and of
    `target` what describes it. Raises UnsupportedSourceError when the two do not fit together,
    CorruptSourceError when one is damaged.
    """
    head = await target.read(0, _HEADER_BYTES)
    if head[4:8] == b"ftyp":
        copies = await _of_mp4(stream, target, is_whole=is_whole)
    elif parse_element(head, 0, 0) is not None and head.startswith(_EBML.to_bytes(4, "big")):
        copies = await _of_matroska(stream, target)
    else:
        raise UnsupportedSourceError("the finished file is neither MP4 nor Matroska")
    return Assembly(
        size_bytes=target.size_bytes,
        copies=tuple(_checked(copies, stream.size_bytes, target.size_bytes)),
    )


async def _of_mp4(stream: RangedSource, target: RangedSource, *, is_whole: bool) -> Iterable[Copy]:
    found = await scan_top_level(target)
    moov = found.first(b"moov")
    if moov is None or moov.size_bytes > _MAX_INDEX_BYTES:
        raise UnsupportedSourceError("the finished MP4 has no index that can be used")
    index = memoryview(await target.read(moov.offset, moov.size_bytes))
    copies: list[Copy] = []
    streamed = await read_tracks(stream)
    for table, track in zip(read_tables(index), streamed, strict=False):
        extents = list(zip(table.offsets, table.sizes, strict=True))
        matched = _matched(extents, track)
        if not is_whole:
            copies += _before(stream.size_bytes, matched)
        # A track that finishing made itself, of chapters or pictures, is fetched.
        elif _total(extents) == _total(track):
            copies += matched
    return copies


def _total(extents: Iterable[Extent]) -> int:
    return sum(length for _, length in extents)


def _matched(target: Sequence[Extent], source: Sequence[Extent]) -> Iterator[Copy]:
    """Pair two ways to lay out the same bytes."""
    places = iter(source)
    at = left = 0
    for offset, length in target:
        done = 0
        while done < length:
            while not left:
                place = next(places, None)
                if place is None:  # the stream breaks off
                    return
                at, left = place
            step = min(length - done, left)
            yield Copy(offset + done, at, step)
            done, at, left = done + step, at + step, left - step


def _before(stream_bytes: int, copies: Iterable[Copy]) -> Iterator[Copy]:
    """Cut copies, in their order in the stream, off where that breaks off."""
    for copy in copies:
        length = min(copy.length, stream_bytes - copy.source)
        if length > 0:
            yield Copy(copy.target, copy.source, length)
        if length < copy.length:
            return


async def _of_matroska(stream: RangedSource, target: RangedSource) -> Iterable[Copy]:
    offset, first = await _first_cluster(target)
    copies: list[Copy] = []
    async for at, length in _clusters(stream):
        if not copies and first != length:
            break
        copies.append(Copy(offset, at, length))
        offset += length
    if not copies or offset > target.size_bytes:
        raise UnsupportedSourceError("the clusters of the finished file are not the stream's")
    return _before(stream.size_bytes, copies)


async def _first_cluster(source: RangedSource) -> Extent:
    """Return where the first cluster lies, and how long it is."""
    async for offset, element in _elements(source):
        if element.id == CLUSTER and element.end is not None:
            return offset, element.end - offset
    raise UnsupportedSourceError("the finished file has no cluster of a known size")


async def _clusters(source: RangedSource) -> AsyncIterator[Extent]:
    async for offset, element in _elements(source, limit=None):
        if element.id == CLUSTER:
            if element.end is None:
                return
            yield offset, element.end - offset


async def _elements(
    source: RangedSource, *, limit: int | None = _MAX_ELEMENTS
) -> AsyncIterator[tuple[int, Element]]:
    """Walk the elements of a file, those of its segment instead of that, each by its header."""
    offset = count = 0
    while offset < source.size_bytes and (limit is None or count < limit):
        element = parse_element(await source.read(offset, _HEADER_BYTES), 0, offset)
        if element is None:
            return
        yield offset, element
        if element.id == SEGMENT:
            offset = element.body
        elif element.end is None:
            return
        else:
            offset = element.end
        count += 1


def _checked(copies: Iterable[Copy], stream_bytes: int, target_bytes: int) -> Iterator[Copy]:
    """Join copies that go on where the last one ended; raise when they do not fit."""
    last = Copy(0, 0, 0)
    for copy in sorted(copies, key=lambda c: c.target):
        end = last.target + last.length
        fits = copy.target >= end and copy.target + copy.length <= target_bytes
        if not fits or copy.source + copy.length > stream_bytes:
            raise UnsupportedSourceError("the finished file is not made of this stream")
        if copy.target == end and copy.source == last.source + last.length:
            last = Copy(last.target, last.source, last.length + copy.length)
            continue
        if last.length:
            yield last
        last = copy
    if last.length:
        yield last
