"""The box structure of MP4 and MOV (ISO/IEC 14496-12 §4.2), top level and within `moov`."""

from collections.abc import Iterator
from dataclasses import dataclass

from distconv.core.errors import CorruptSourceError
from distconv.media.ports import Buffer, RangedSource

# A fragmented file has thousands of boxes, and each costs a read: the rest is
# judged while it is streamed. A plain file has about five.
MAX_TOP_LEVEL = 256

_KNOWN_TOP_LEVEL = frozenset(
    b"ftyp moov mdat free skip wide pnot styp sidx moof mfra uuid meta udta emsg prft ssix pdin "
    b"imda junk PICT".split()
)


@dataclass(frozen=True, slots=True)
class Box:
    """A box: its type, where it starts, how long its header is and where it ends."""

    kind: bytes
    offset: int
    header_bytes: int
    end: int

    @property
    def size_bytes(self) -> int:
        """Return its size with its header."""
        return self.end - self.offset

    @property
    def body(self) -> int:
        """Return where its body starts."""
        return self.offset + self.header_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TopLevel:
    """The top-level boxes of a file.

    `partial` is true when there are more than were read (a fragmented file);
    `trailing_bytes` is what follows the last box and is none.
    """

    boxes: tuple[Box, ...]
    partial: bool = False
    trailing_bytes: int = 0

    def first(self, kind: bytes) -> Box | None:
        """Return the first box of a kind."""
        return next((box for box in self.boxes if box.kind == kind), None)

    @property
    def fragmented(self) -> bool:
        """Say whether the media lies in movie fragments."""
        return self.first(b"moof") is not None

    @property
    def index_last(self) -> bool:
        """Say whether `moov` lies behind media."""
        moov, mdat = self.first(b"moov"), self.first(b"mdat")
        return moov is not None and mdat is not None and mdat.offset < moov.offset


def parse_header(data: Buffer, offset: int, end: int) -> Box | None:
    """Read the header at the start of `data`, which lies at `offset` of something ending at `end`.

    Returns None when the bytes are no header: fewer than 8, or a size below
    its own header's. The box may claim to go beyond `end`.
    """
    if len(data) < 8:
        return None
    size, kind = int.from_bytes(data[:4], "big"), bytes(data[4:8])
    header = 8
    if size == 1:
        if len(data) < 16:
            return None
        size, header = int.from_bytes(data[8:16], "big"), 16
    elif size == 0:  # up to the end
        size = end - offset
    if size < header:
        return None
    return Box(kind, offset, header, offset + size)


def children(data: memoryview, box: Box) -> Iterator[Box]:
    """Walk the boxes within `box`, whose offsets count from the start of `data`.

    Raises CorruptSourceError for a child that goes beyond its parent.
    """
    offset = box.body
    while offset + 8 <= box.end:
        child = parse_header(data[offset : min(offset + 16, box.end)], offset, box.end)
        if child is None or child.end > box.end:
            if not any(data[offset : offset + 4]):  # QuickTime ends a list with a zero
                return
            raise CorruptSourceError(
                f"the index is damaged: a box in '{printable(box.kind)}' goes beyond it"
            )
        yield child
        offset = child.end


def child(data: memoryview, box: Box, *path: bytes) -> Box | None:
    """Return the first box under `box` along `path`."""
    found: Box | None = box
    for kind in path:
        if found is None:
            return None
        found = next((b for b in children(data, found) if b.kind == kind), None)
    return found


async def scan_top_level(source: RangedSource) -> TopLevel:
    """Read the headers of the top-level boxes.

    Raises CorruptSourceError when a box ends beyond the end of the file.
    """
    boxes: list[Box] = []
    offset, size = 0, source.size_bytes
    while offset < size:
        if len(boxes) >= MAX_TOP_LEVEL:
            return TopLevel(boxes=tuple(boxes), partial=True)
        header = await source.read(offset, 16)
        box = parse_header(header, offset, size)
        if box is None or (box.end > size and box.kind not in _KNOWN_TOP_LEVEL):
            return _with_trailing(boxes, offset, size)
        if box.end > size:
            raise CorruptSourceError(
                f"the file is cut short: its '{printable(box.kind)}' needs {box.end} bytes, "
                f"but there are only {size}",
                metadata={"needed_bytes": str(box.end), "size_bytes": str(size)},
            )
        boxes.append(box)
        offset = box.end
    return TopLevel(boxes=tuple(boxes))


def _with_trailing(boxes: list[Box], offset: int, size: int) -> TopLevel:
    """Take what is no box for junk behind a whole file, or for damage when media is missing."""
    found = TopLevel(boxes=tuple(boxes), trailing_bytes=size - offset)
    if found.first(b"moov") is None or found.first(b"mdat") is None:
        raise CorruptSourceError(
            f"the file is damaged: at byte {offset} of {size} stands no MP4 box, "
            "and its index or its media is missing"
        )
    return found


def require_index(found: TopLevel) -> None:
    """Raise CorruptSourceError when there is no `moov`: the recording or the transfer broke off."""
    if found.first(b"moov") is None and not found.partial:
        raise CorruptSourceError(
            "the MP4 has no index ('moov'): its recording or its transfer broke off before the end"
        )


def printable(kind: bytes) -> str:
    """Render a box type for a message."""
    return "".join(chr(c) if 32 <= c < 127 else "?" for c in kind)
