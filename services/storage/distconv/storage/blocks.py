"""The checksums of a content's blocks, for readers that take ranges of it in any order."""

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import google_crc32c

from distconv.core.crc32c import combine
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
    """Take a content from its start to its end and sum its blocks.

    A content of unknown size is summed in the smallest blocks, which are put
    together at the end.
    """

    def __init__(self, size_bytes: int = 0) -> None:
        """`size_bytes` is how much will come, 0 when that is not known."""
        self._block_bytes = block_bytes_of(size_bytes)
        self._crcs: list[int] = []
        self._crc = 0
        self._filled = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take the bytes that come next."""
        rest = memoryview(data)
        while rest:
            part = bytes(rest[: self._block_bytes - self._filled])
            self._crc = google_crc32c.extend(self._crc, part)
            self._filled += len(part)
            rest = rest[len(part) :]
            if self._filled == self._block_bytes:
                self._crcs.append(self._crc)
                self._crc = self._filled = 0

    def result(self) -> Blocks:
        """Return the checksums of what was taken so far, as if that were the whole."""
        crcs = [*self._crcs, self._crc] if self._filled else self._crcs
        size_bytes = len(self._crcs) * self._block_bytes + self._filled
        block_bytes = max(self._block_bytes, block_bytes_of(size_bytes))
        joined = self._joined(crcs, block_bytes // self._block_bytes)
        return Blocks.of(block_bytes, joined)

    def _joined(self, crcs: Sequence[int], count: int) -> Sequence[int]:
        """Put every `count` sums together."""
        if count == 1:
            return crcs
        joined: list[int] = []
        for index, crc in enumerate(crcs):
            if index % count:
                length = self._block_bytes if index < len(self._crcs) else self._filled
                joined[-1] = combine(joined[-1], crc, length)
            else:
                joined.append(crc)
        return joined


def block_bytes_of(size_bytes: int) -> int:
    """Return the size of the blocks of a content: a power of two, 1 to 16 MiB."""
    block_bytes = _SMALLEST_BYTES
    while block_bytes < _LARGEST_BYTES and block_bytes * _MANY_BLOCKS < size_bytes:
        block_bytes *= 2
    return block_bytes
