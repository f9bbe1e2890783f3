"""Make digests of ranges of an object, for those who want to prove that they see the same bytes."""

import asyncio
import hashlib
from collections.abc import Sequence

from distconv.core.errors import InvalidArgumentError
from distconv.storage.providers.port import Reader
from distconv.storage.serving import resolve

_MAX_RANGES = 64
_MAX_RANGE_BYTES = 1 << 20


async def range_digests(reader: Reader, ranges: Sequence[tuple[int, int]]) -> list[str]:
    """Return the SHA-256 of each range (offset, length), in hexadecimal digits.

    Raises InvalidArgumentError for too many or too large ones, and OutOfRangeError.
    """
    if len(ranges) > _MAX_RANGES or any(length > _MAX_RANGE_BYTES for _, length in ranges):
        raise InvalidArgumentError(
            f"at most {_MAX_RANGES} ranges of at most {_MAX_RANGE_BYTES} bytes are proved at once",
            field="ranges",
        )
    found = []
    for offset, length in ranges:
        start, end = resolve(offset, length, reader.size_bytes)
        if end - start > _MAX_RANGE_BYTES:
            raise InvalidArgumentError("a range to be proved says its length", field="ranges")
        pieces = await reader.read(start, end - start, piece_bytes=_MAX_RANGE_BYTES)
        found.append(await asyncio.to_thread(_digest, pieces))
    return found


def _digest(pieces: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
