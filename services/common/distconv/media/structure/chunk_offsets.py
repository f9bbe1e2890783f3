"""An MP4's index written anew with other chunk offsets: where the media lies once it was moved."""

import sys
from array import array
from collections.abc import Callable, Iterable, Sequence

from distconv.core.errors import UnsupportedSourceError
from distconv.media.structure.boxes import Box
from distconv.media.structure.chunks import ChunkTable

_MAX_32 = (1 << 32) - 1


def rewrite(
    index: bytes,
    tables: Sequence[ChunkTable],
    offsets: Callable[[int], list[Iterable[int]]],
) -> bytes:
    """Return `index` with new chunk offsets, which depend on how large it becomes.

    A table of 32 bits grows to 64 when an offset needs it; that moves all
    offsets once more, until no table grows any further.
    """
    wide = [table.wide for table in tables]
    while True:
        growth = [
            4 * len(t.offsets) if w and not t.wide else 0 for t, w in zip(tables, wide, strict=True)
        ]
        placed = [array("Q", o) for o in offsets(len(index) + sum(growth))]
        needs = [w or max(o, default=0) > _MAX_32 for w, o in zip(wide, placed, strict=True)]
        if needs == wide:
            return _patch(index, tables, placed, growth)
        wide = needs


def _patch(
    index: bytes,
    tables: Sequence[ChunkTable],
    placed: Sequence["array[int]"],
    growth: Sequence[int],
) -> bytes:
    parts: list[bytes | memoryview] = []
    at = 0
    view = memoryview(_grown(index, tables, growth))
    for table, offsets, extra in sorted(
        zip(tables, placed, growth, strict=True), key=lambda item: item[0].box.offset
    ):
        wide = table.wide or bool(extra)
        parts += [view[at : table.box.offset], _chunk_box(table, offsets, wide=wide)]
        at = table.box.end
    return b"".join([*parts, view[at:]])


def _grown(index: bytes, tables: Sequence[ChunkTable], growth: Sequence[int]) -> bytes:
    """Enlarge the sizes of the boxes that hold tables which grow."""
    if not any(growth):
        return index
    sizes: dict[Box, int] = {}
    for table, extra in zip(tables, growth, strict=True):
        for box in table.path:
            sizes[box] = sizes.get(box, box.size_bytes) + extra
    patched = bytearray(index)
    for box, size in sizes.items():
        if box.header_bytes == 16:
            patched[box.offset + 8 : box.offset + 16] = size.to_bytes(8, "big")
        elif size > _MAX_32:
            raise UnsupportedSourceError("the MP4's index is too large to be streamed")
        else:
            patched[box.offset : box.offset + 4] = size.to_bytes(4, "big")
    return bytes(patched)


def _chunk_box(table: ChunkTable, offsets: "array[int]", *, wide: bool) -> bytes:
    numbers = array("Q" if wide else "I", offsets)
    if sys.byteorder == "little":
        numbers.byteswap()
    body = (0).to_bytes(4, "big") + len(offsets).to_bytes(4, "big") + numbers.tobytes()
    spare = 0 if wide != table.wide else table.box.size_bytes - 8 - len(body)
    size = 8 + len(body) + spare
    return size.to_bytes(4, "big") + (b"co64" if wide else b"stco") + body + bytes(spare)
