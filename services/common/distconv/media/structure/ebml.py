"""The outermost elements of Matroska and WebM (RFC 8794 §4, RFC 9559)."""

from dataclasses import dataclass

from distconv.core.errors import CorruptSourceError, UnsupportedSourceError
from distconv.media.ports import RangedSource

SEGMENT = 0x18538067
CLUSTER = 0x1F43B675
_HEADER = 0x1A45DFA3
_DOC_TYPE = 0x4282
_VOID, _CRC = 0xEC, 0xBF
_MAX_HEADER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Element:
    """An element: its id, where its body starts, and where it ends (None: it does not say)."""

    id: int
    body: int
    end: int | None


def parse_element(data: bytes, at: int, base: int) -> Element | None:
    """Read the element header at `data[at:]`, which lies `base` bytes into the file."""
    if at >= len(data) or data[at] < 0x10:
        return None
    id_length = 9 - data[at].bit_length()
    size_at = at + id_length
    if size_at >= len(data) or data[size_at] == 0:
        return None
    size_length = 9 - data[size_at].bit_length()
    body = size_at + size_length
    if body > len(data):
        return None
    ident = int.from_bytes(data[at:size_at], "big")
    ones = (1 << (7 * size_length)) - 1
    size = int.from_bytes(data[size_at:body], "big") & ones
    return Element(ident, base + body, None if size == ones else base + body + size)


def doc_type(data: bytes) -> str:
    """Return the DocType of the EBML header at the start of `data`; empty when there is none."""
    header = parse_element(data, 0, 0)
    if header is None or header.id != _HEADER or header.end is None:
        return ""
    at = header.body
    while at < min(header.end, len(data)):
        element = parse_element(data, at, 0)
        if element is None or element.end is None or element.end > header.end:
            break
        if element.id == _DOC_TYPE:
            return data[element.body : element.end].rstrip(b"\0").decode("ascii", "replace")
        at = element.end
    return ""


async def check_matroska(source: RangedSource) -> None:
    """Raise CorruptSourceError when the Segment says more bytes than there are.

    A Segment of unknown size (a live recording) is allowed: whether the media
    ends early is for the census to say. Raises UnsupportedSourceError for
    EBML that is neither Matroska nor WebM.
    """
    head = await source.read(0, _MAX_HEADER_BYTES)
    kind = doc_type(head)
    if kind not in ("matroska", "webm"):
        shown = "".join(c for c in kind if c.isprintable())[:32]
        raise UnsupportedSourceError(
            f"the file is EBML of type '{shown}', neither Matroska nor WebM"
        )
    segment = await _segment(source, head)
    if segment.end is not None and segment.end > source.size_bytes:
        raise CorruptSourceError(
            f"the file is cut short: its segment needs {segment.end} bytes, "
            f"but there are only {source.size_bytes}",
            metadata={"needed_bytes": str(segment.end), "size_bytes": str(source.size_bytes)},
        )


async def _segment(source: RangedSource, head: bytes) -> Element:
    element = parse_element(head, 0, 0)
    for _ in range(8):  # the header, perhaps a Void or two, then the segment
        if element is None or element.end is None:
            break
        at = element.end
        element = parse_element(await source.read(at, 16), 0, at)
        if element is not None and element.id == SEGMENT:
            return element
        if element is not None and element.id not in (_VOID, _CRC):
            break
    raise CorruptSourceError("the Matroska file holds nothing but its header: it is cut short")
