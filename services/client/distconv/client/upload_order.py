"""Which bytes of a file go first, so that a decoder can begin while the rest is on its way."""

from collections.abc import Iterable

from distconv.client.source import SourceFile
from distconv.core.errors import DistconvError
from distconv.core.ranges import Range, RangeSet
from distconv.media.structure.boxes import TopLevel, scan_top_level
from distconv.media.structure.sniff import SNIFF_BYTES, Structure, sniff

# A probe reads blocks of this size that begin at multiples of it (distconv.media.probe.ranged).
_BLOCK_BYTES = 256 * 1024
# What containers keep at their ends (tags and cues of Matroska, times of MPEG-TS) is mostly less.
_TAIL_BYTES = 512 * 1024
_HEADER_BYTES = 16
# Here lies what is played, or nothing; of all other boxes a decoder may need every byte first.
_MEDIA_BOXES = frozenset({b"mdat", b"free", b"skip", b"wide"})
# What a decoder takes for an index is smaller; a box that is larger goes in its turn.
_MAX_FIRST_BYTES = 128 << 20


class _Peek:
    """A RangedSource over a file that is about to be sent."""

    def __init__(self, source: SourceFile) -> None:
        self._source = source
        self.size_bytes = source.size_bytes

    async def read(self, offset: int, length: int) -> bytes:
        """Return the bytes of one range."""
        return await self._source.peek(offset, length)


async def first_ranges(file: SourceFile) -> list[Range]:
    """Return the ranges that are to go before all others, in the order in which they are to go.

    The head of the file, and of an MP4 or MOV all but the media, wherever it
    lies; of other files their tail. Reads headers alone.
    """
    source = _Peek(file)
    size = source.size_bytes
    head = (0, min(_BLOCK_BYTES, size))
    try:
        if sniff(await source.read(0, SNIFF_BYTES)) is Structure.MP4:
            return [head, *_of_boxes(await scan_top_level(source), size)]
    except DistconvError:
        return []  # it is no video, or a damaged one: the server will say so
    return [head, (max(0, size - _TAIL_BYTES), size)]


def _of_boxes(found: TopLevel, size: int) -> Iterable[Range]:
    for box in found.boxes:
        yield box.offset, min(box.offset + _HEADER_BYTES, size)
    if found.fragmented or found.partial:
        return  # a fragment's header is of use with its media alone
    for box in found.boxes:
        if box.kind not in _MEDIA_BOXES and box.size_bytes <= _MAX_FIRST_BYTES:
            start = box.offset // _BLOCK_BYTES * _BLOCK_BYTES
            yield start, min(-(-box.end // _BLOCK_BYTES) * _BLOCK_BYTES, size)


def ordered(missing: Iterable[Range], first: Iterable[Range]) -> list[Range]:
    """Put the bytes of `first` before the others that are missing."""
    left = RangeSet(missing)
    result: list[Range] = []
    for start, end in first:
        found = _taken(left, start, end)
        result += found
        rest = RangeSet(found)
        left = RangeSet(gap for span in left for gap in rest.gaps(*span))
    return [*result, *left]


def _taken(ranges: RangeSet, start: int, end: int) -> list[Range]:
    """Return what of `ranges` lies within `start` and `end`."""
    return [(max(a, start), min(b, end)) for a, b in ranges if a < end and start < b]
