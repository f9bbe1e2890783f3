"""What a stream of reads asks for: ranges, and where its reader paces it, how much may be sent."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from distconv.core.errors import InvalidArgumentError, ResourceExhaustedError

# Of a reader that is paced the requests are read while it is served: this bounds what they hold.
_MAX_WAITING = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request: a range (offset, length), None for none, and credit, bytes, 0 for none."""

    range: tuple[int, int] | None
    credit_bytes: int


class Asking:
    """Tell the requests of one stream apart; `ranges` has to be iterated for credit to come."""

    def __init__(self, first: Ask, rest: AsyncIterator[Ask]) -> None:
        """Take the first request, which says whether the stream is paced, and the others."""
        self._first = first
        self._rest = rest
        self._paced = first.credit_bytes != 0
        self._credit_bytes = 0
        self._granted = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._waiting: asyncio.Queue[tuple[int, int] | None] = asyncio.Queue()

    async def ranges(self) -> AsyncIterator[tuple[int, int]]:
        """Yield what is asked for, until the reader asks no more.

        Raises InvalidArgumentError (negative credit), ResourceExhaustedError (too many ranges
        wait), and what the stream raises.
        """
        self._take(self._first)
        if self._paced:
            self._reading = asyncio.create_task(self._read(), name="read requests")
            while (asked := await self._waiting.get()) is not None:
                yield asked
            self._reading.result()
            return
        if self._first.range is not None:
            yield self._first.range
        async for ask in self._rest:
            if ask.range is not None:
                yield ask.range

    async def spend(self, count: int) -> None:
        """Wait until a chunk of `count` bytes may be sent, and take it from the credit.

        Raises InvalidArgumentError when the reader has ended its requests without enough of it,
        and what `ranges` raises.
        """
        while self._paced and self._credit_bytes <= 0:
            if self._reading is not None and self._reading.done():
                self._reading.result()
                raise InvalidArgumentError(
                    "the stream's requests ended before they allowed what they asked for; "
                    "send credit until all has come",
                    field="credit_bytes",
                )
            self._granted.clear()
            await self._granted.wait()
        self._credit_bytes -= count

    async def aclose(self) -> None:
        """Read no more requests."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            if self._first.range is not None:
                self._waiting.put_nowait(self._first.range)
            async for ask in self._rest:
                self._take(ask)
                if ask.range is not None:
                    if self._waiting.qsize() >= _MAX_WAITING:
                        raise ResourceExhaustedError(
                            f"more than {_MAX_WAITING} ranges of one stream wait; ask for the next "
                            "when some have come"
                        )
                    self._waiting.put_nowait(ask.range)
        finally:
            # Who waits looks what became of this task: let it be done, first.
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._waiting.put_nowait(None)
        self._granted.set()

    def _take(self, ask: Ask) -> None:
        if ask.credit_bytes < 0:
            raise InvalidArgumentError("credit is at least 0 bytes", field="credit_bytes")
        self._credit_bytes += ask.credit_bytes
        self._granted.set()
