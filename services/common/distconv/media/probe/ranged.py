"""A file object, for PyAV, over ranges that somebody else serves."""

import io
from collections import OrderedDict
from collections.abc import Callable

# Big enough that a probe over a network takes few round trips, small enough
# that a probe reads little: most indexes fit into a handful.
BLOCK_BYTES = 256 * 1024
_MAX_BLOCKS = 32


class RangedReader:
    """Read and seek over blocks that `ask(offset, length)` gives; keep the last 8 MiB of them."""

    def __init__(self, ask: Callable[[int, int], bytes], size_bytes: int) -> None:
        self._ask = ask
        self._size = size_bytes
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def read(self, length: int = -1) -> bytes:
        """Return up to `length` bytes; fewer at a block's end."""
        if length < 0:
            length = self._size - self._at
        if self._at >= self._size or length == 0:
            return b""
        number, skip = divmod(self._at, BLOCK_BYTES)
        data = self._block(number)[skip : skip + length]
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, and return the place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("seek before the start")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def seekable(self) -> bool:
        """Say that it can seek."""
        return True

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        offset = number * BLOCK_BYTES
        data = self._ask(offset, min(BLOCK_BYTES, self._size - offset))
        self._blocks[number] = data
        if len(self._blocks) > _MAX_BLOCKS:
            self._blocks.popitem(last=False)
        return data
