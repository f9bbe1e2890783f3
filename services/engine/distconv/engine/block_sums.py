"""The checksums of a source's blocks, as storage gives them."""

import struct
from dataclasses import dataclass
from typing import Self

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSums:
    """How a content is cut, and the CRC32C of each block; the last block is what is left."""

    size_bytes: int
    block_bytes: int
    crcs: tuple[int, ...]

    @classmethod
    def unpack(cls, size_bytes: int, block_bytes: int, packed: bytes) -> Self | None:
        """Read 4 bytes for each block, the highest first; None when they fit no such content."""
        if block_bytes <= 0 or block_bytes % MIB:
            return None
        count = -(-size_bytes // block_bytes)
        if len(packed) != 4 * count:
            return None
        crcs = struct.unpack(f">{count}I", packed)
        return cls(size_bytes=size_bytes, block_bytes=block_bytes, crcs=crcs)

    def span(self, index: int) -> tuple[int, int]:
        """Return where a block begins and ends."""
        start = index * self.block_bytes
        return start, min(start + self.block_bytes, self.size_bytes)

    def within(self, start: int, end: int) -> range:
        """Return the blocks of which the bytes `[start, end)`, one at least, are parts."""
        return range(start // self.block_bytes, (end - 1) // self.block_bytes + 1)
