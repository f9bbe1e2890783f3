"""Read a layout's bytes in order, some of them ahead of time."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator

from distconv.core.errors import DataLossError
from distconv.media.layout import Layout, Literal
from distconv.media.ports import Buffer, RangedSource

PIECE_BYTES = 256 * 1024


async def read_layout(
    source: RangedSource,
    layout: Layout,
    *,
    piece_bytes: int = PIECE_BYTES,
    read_ahead: int = 4,
) -> AsyncGenerator[Buffer, None]:
    """Yield a layout's bytes in order, in pieces of up to `piece_bytes`.

    Up to `read_ahead` reads are under way at once, so that memory is bounded by
    so many pieces. Close it (`aclosing`) when it is not read to the end. Raises
    DataLossError when the source gives fewer bytes than it has.
    """
    wanted = _pieces(layout, piece_bytes)
    pending: deque[asyncio.Task[Buffer]] = deque()
    try:
        while True:
            while len(pending) < max(1, read_ahead) and (piece := next(wanted, None)) is not None:
                pending.append(asyncio.create_task(_read(source, piece)))
            if not pending:
                return
            data = await pending[0]
            pending.popleft()
            yield data
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


_Piece = tuple[int, int] | memoryview


def _pieces(layout: Layout, piece_bytes: int) -> Iterator[_Piece]:
    for segment in layout.segments:
        for start in range(0, segment.length, piece_bytes):
            length = min(piece_bytes, segment.length - start)
            if isinstance(segment, Literal):
                yield memoryview(segment.data)[start : start + length]
            else:
                yield segment.offset + start, length


async def _read(source: RangedSource, piece: _Piece) -> Buffer:
    if isinstance(piece, memoryview):
        return piece
    offset, length = piece
    data = await source.read(offset, length)
    if len(data) != length:
        raise DataLossError(
            f"the source gave {len(data)} of {length} bytes at {offset}",
            metadata={"offset": str(offset)},
        )
    return data
