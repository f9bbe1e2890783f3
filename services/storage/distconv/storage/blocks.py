"""The checksums of a content's blocks, for readers that fetch ranges of it past storage."""

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import google_crc32c

from distconv.storage.limits import MIB

# As many sums as a record can carry without anybody's noticing: 16 KiB of them.
_MANY_BLOCKS = 4096
_SMALLEST_BYTES = MIB
# A reader fetches and holds whole blocks.
_LARGEST_BYTES = 16 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """The CRC32C of each block, in order; the last block is what is left.

    `sums` is the base64 of 4 bytes for each, the highest first.
    """

    block_bytes: int
    sums: str

    @classmethod
    def of(cls, block_bytes: int, crcs: Sequence[int]) -> Self:
        """Write checksums down."""
        packed = struct.pack(f">{len(crcs)}I", *crcs)
        return cls(block_bytes=block_bytes, sums=base64.b64encode(packed).decode())

    @property
    def packed(self) -> bytes:
        """Return 4 bytes for each block, the highest first."""
        return base64.b64decode(self.sums)


class BlockSums:
    """Take a content from its start to its end and sum its blocks."""

    def __init__(self, size_bytes: int) -> None:
        self._block_bytes = block_bytes_of(size_bytes)
        self._crcs: list[int] = []
        self._crc = 0
        self._filled = 0

    def update(self, data: bytes) -> None:
        """Take the bytes that come next."""
        rest = memoryview(data)
        while rest:
            part = bytes(rest[: self._block_bytes - self._filled])
            self._crc = google_crc32c.extend(self._crc, part)
            self._filled += len(part)
            rest = rest[len(part) :]
            if self._filled == self._block_bytes:
                self._end_block()

    def _end_block(self) -> None:
        self._crcs.append(self._crc)
        self._crc = self._filled = 0

    def result(self) -> Blocks:
        """Return the checksums of what was taken."""
        if self._filled:
            self._end_block()
        return Blocks.of(self._block_bytes, self._crcs)


def block_bytes_of(size_bytes: int) -> int:
    """Return the size of the blocks of a content: a power of two, 1 to 16 MiB."""
    block_bytes = _SMALLEST_BYTES
    while block_bytes < _LARGEST_BYTES and block_bytes * _MANY_BLOCKS < size_bytes:
        block_bytes *= 2
    return block_bytes
