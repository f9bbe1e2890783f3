"""What a stream of reads asks for: ranges, and where its reader paces it, how much may be sent."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from distconv.core.errors import InvalidArgumentError, ResourceExhaustedError
from distconv.rpc.limits import (
    CHUNK_BYTES,
    MAX_CHUNK_BYTES,
    MAX_WAITING_RANGES,
    MIN_CHUNK_BYTES,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest:
    """A range (offset, length), or None; credit, and the size of chunks, bytes, 0 for none."""

    range: tuple[int, int] | None
    credit_bytes: int
    chunk_bytes: int


class ReadRequests:
    """The requests of one stream; within the context they are read as they come.

    A first request with credit makes the stream paced: then requests are read while the stream is
    served, so that credit comes, and else only as ranges are asked for.
    """

    def __init__(self, first: ReadRequest, rest: AsyncIterator[ReadRequest]) -> None:
        """Take the first request, and the others."""
        self._first = first
        self._rest = rest
        self._paced = first.credit_bytes != 0
        self._credit_bytes = 0
        self._chunk_bytes = 0
        self._granted = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._waiting: asyncio.Queue[tuple[int, int] | None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        if self._paced:
            self._reading = asyncio.create_task(self._read(), name="read requests")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    @property
    def chunk_bytes(self) -> int:
        """Return how long a chunk is to be at the most, bytes."""
        return self._chunk_bytes or CHUNK_BYTES

    async def ranges(self) -> AsyncIterator[tuple[int, int]]:
        """Yield what is asked for, until the reader asks no more.

        Raises InvalidArgumentError (negative credit, a size that no chunk has),
        ResourceExhaustedError (too many ranges wait), and what the stream raises.
        """
        if self._reading is None:
            async for request in self._all():
                if request.range is not None:
                    yield request.range
            return
        while (asked := await self._waiting.get()) is not None:
            yield asked
        self._reading.result()

    async def spend(self, size_bytes: int) -> None:
        """Wait until a chunk of so many bytes may be sent, and take it from the credit.

        Raises InvalidArgumentError when the reader has ended its requests without enough of it,
        and what `ranges` raises.
        """
        while self._paced and not self._allows(size_bytes):
            if self._reading is not None and self._reading.done():
                self._reading.result()
                raise InvalidArgumentError(
                    "the stream's requests ended before they allowed what they asked for; "
                    "send credit until all has come",
                    field="credit_bytes",
                )
            self._granted.clear()
            await self._granted.wait()
        self._credit_bytes -= size_bytes

    def _allows(self, size_bytes: int) -> bool:
        # What was read ahead may be longer than the size named since; and a reader that named none
        # may have granted less than a chunk.
        needed_bytes = min(size_bytes, self._chunk_bytes) if self._chunk_bytes else 1
        return self._credit_bytes >= needed_bytes

    async def _all(self) -> AsyncIterator[ReadRequest]:
        yield self._taken(self._first)
        async for request in self._rest:
            yield self._taken(request)

    def _taken(self, request: ReadRequest) -> ReadRequest:
        self._chunk_bytes = _checked(request).chunk_bytes or self._chunk_bytes
        return request

    async def _read(self) -> None:
        try:
            async for request in self._all():
                self._credit_bytes += request.credit_bytes
                self._granted.set()
                if request.range is not None:
                    if self._waiting.qsize() >= MAX_WAITING_RANGES:
                        raise ResourceExhaustedError(
                            f"more than {MAX_WAITING_RANGES} ranges of one stream wait; ask for "
                            "the next when some have come"
                        )
                    self._waiting.put_nowait(request.range)
        finally:
            # Who waits looks what became of this task: let it be done, first.
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._waiting.put_nowait(None)
        self._granted.set()


def _checked(request: ReadRequest) -> ReadRequest:
    if request.credit_bytes < 0:
        raise InvalidArgumentError("credit is at least 0 bytes", field="credit_bytes")
    if request.chunk_bytes and not MIN_CHUNK_BYTES <= request.chunk_bytes <= MAX_CHUNK_BYTES:
        raise InvalidArgumentError(
            f"a full chunk has {MIN_CHUNK_BYTES} to {MAX_CHUNK_BYTES} bytes, not "
            f"{request.chunk_bytes}; 0 leaves the size to storage",
            field="chunk_bytes",
        )
    return request
