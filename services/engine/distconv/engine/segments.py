"""Cut an output into segments, each of which becomes an object of the bucket."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from distconv.rpc.limits import CHUNK_BYTES

# The first segment is as small as a chunk and each is twice as large as the one before: who follows
# the output sees it begin at once.
_FIRST_BYTES = CHUNK_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Bytes of an output that lie together, as the pieces they came in."""

    offset: int
    length: int
    pieces: tuple[bytes, ...]

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """Yield the pieces with where they lie."""
        offset = self.offset
        for piece in self.pieces:
            yield offset, piece
            offset += len(piece)


class SegmentCutter:
    """Gather pieces that follow one another; hand each segment to `on_segment` as it is cut.

    A segment is cut when it is large enough, `largest_bytes` in the end, and at
    the latest `flush_s` after its first byte: an output is seen to come, however
    slowly it does.
    """

    def __init__(
        self, on_segment: Callable[[Segment], None], *, largest_bytes: int, flush_s: float
    ) -> None:
        self._on_segment = on_segment
        self._largest_bytes = largest_bytes
        self._next_bytes = min(_FIRST_BYTES, largest_bytes)
        self._flush_s = flush_s
        self._timer: asyncio.TimerHandle | None = None
        self._offset = 0
        self._length = 0
        self._pieces: list[bytes] = []

    def add(self, offset: int, data: bytes) -> None:
        """Take the piece that comes next."""
        if not self._pieces:
            self._offset = offset
            self._timer = asyncio.get_running_loop().call_later(self._flush_s, self.cut)
        self._pieces.append(data)
        self._length += len(data)
        if self._length >= self._next_bytes:
            self.cut()

    def cut(self) -> None:
        """Make a segment of what has gathered, if anything has."""
        if not self._pieces:
            return
        self.close()
        segment = Segment(offset=self._offset, length=self._length, pieces=tuple(self._pieces))
        self._pieces, self._length = [], 0
        self._next_bytes = min(2 * self._next_bytes, self._largest_bytes)
        self._on_segment(segment)

    def close(self) -> None:
        """Cut nothing by the clock any more, until more comes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
