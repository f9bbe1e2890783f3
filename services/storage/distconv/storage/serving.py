"""Serve ranges of one object: checked, cut into pieces, read a little ahead."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass

from distconv.core.errors import DamagedObjectError, InvalidArgumentError, OutOfRangeError
from distconv.core.ranges import Range
from distconv.storage.providers.port import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Pieces read at once; `last` says that they end their range."""

    offset: int
    pieces: list[bytes]
    last: bool


def resolve(offset: int, length: int, size_bytes: int) -> Range:
    """Return a range as it was asked for, `length` 0 being to the end, as start and end.

    Raises InvalidArgumentError when it is negative, OutOfRangeError when it
    does not lie within the object.
    """
    if offset < 0 or length < 0:
        raise InvalidArgumentError(
            f"bytes from {offset}, {length} of them, is no range; both numbers are at least 0",
            field="range",
        )
    end = offset + length if length else size_bytes
    if offset > size_bytes or end > size_bytes:
        raise OutOfRangeError(
            f"bytes {offset} to {max(end, offset) - 1} were asked for, but the object has "
            f"{size_bytes} bytes; ask for a range that ends within them",
            metadata={"size_bytes": str(size_bytes)},
        )
    return offset, end


class RangeServer:
    """Answer the ranges of one stream in their order.

    One load of at most `ahead_bytes` is read while the one before is sent:
    that, and what gRPC holds for a reader that stops, is all the memory it costs.
    """

    def __init__(
        self,
        reader: Reader,
        ranges: AsyncIterator[tuple[int, int]],
        *,
        name: str,
        piece_bytes: Callable[[], int],
        ahead_bytes: int,
    ) -> None:
        """Take ranges of `name` as they are asked for: (offset, length).

        `piece_bytes` says how long pieces are to be from now on, no longer than `ahead_bytes`.
        """
        self._reader = reader
        self._name = name
        self._ranges = ranges
        self._piece_bytes = piece_bytes
        self._ahead_bytes = ahead_bytes

    async def loads(self) -> AsyncGenerator[Load, None]:
        """Yield what was asked for.

        Raises InvalidArgumentError, OutOfRangeError, DamagedObjectError (cut short while it is
        read), or the disk's.
        """
        spans = self._spans()
        ahead = asyncio.create_task(self._next(spans), name="read ahead")
        try:
            while (load := await ahead) is not None:
                ahead = asyncio.create_task(self._next(spans), name="read ahead")
                yield load
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    async def _spans(self) -> AsyncIterator[tuple[int, int, bool]]:
        async for asked in self._ranges:
            offset, end = resolve(*asked, self._reader.size_bytes)
            while True:
                stop = min(offset + self._load_bytes(), end)
                yield offset, stop, stop == end
                if stop == end:
                    break
                offset = stop

    def _load_bytes(self) -> int:
        piece_bytes = self._piece_bytes()
        return self._ahead_bytes // piece_bytes * piece_bytes

    async def _next(self, spans: AsyncIterator[tuple[int, int, bool]]) -> Load | None:
        async for offset, end, last in spans:
            pieces = await self._reader.read(offset, end - offset, piece_bytes=self._piece_bytes())
            if (stored := sum(map(len, pieces))) < end - offset:
                raise DamagedObjectError.of(
                    self._name,
                    f"{offset + stored} of {self._reader.size_bytes} bytes are stored",
                )
            return Load(offset=offset, pieces=pieces, last=last)
        return None
