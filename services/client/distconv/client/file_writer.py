"""Write what comes of a stream at once, while more comes."""

import asyncio
from collections.abc import Callable

from distconv.client.partial import PartialFile
from distconv.rpc.pacing import MOST_BYTES, Pacer


class FileWriter:
    """Has at most one write under way; what comes meanwhile goes with the next one.

    Only what is written counts with the pacer: what was not would have to come again
    after a death. A storage that sends no more than the pacer grants never makes it
    hold much; from one that sends on, no more is taken until what it holds is written.
    """

    def __init__(self, target: PartialFile, pacer: Pacer, on_written: Callable[[], None]) -> None:
        """`on_written` is called whenever more is written."""
        self._target = target
        self._pacer = pacer
        self._on_written = on_written
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self.ended = False

    async def put(self, data: bytes) -> None:
        """Take what comes next. Raises what has made an earlier write fail."""
        if self._writing is not None and self._waiting_bytes >= MOST_BYTES:
            await asyncio.wait([self._writing])
        self._raise_error()
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="download write")

    def end(self) -> None:
        """Note that nothing more comes."""
        self.ended = True
        self._moved.set()

    async def progressed(self) -> None:
        """Wait until more was written, or nothing more comes. Raises what made a write fail."""
        await self._moved.wait()
        self._moved.clear()
        self._raise_error()

    async def drained(self) -> None:
        """Wait until all is written; a thread that writes is never left behind."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
            self._writing.result()

    async def _write(self) -> None:
        try:
            while self._waiting:
                parts, self._waiting, self._waiting_bytes = self._waiting, [], 0
                await self._target.append(parts)
                self._pacer.written(sum(map(len, parts)))
                self._moved.set()
                self._on_written()
        finally:
            # Who is woken looks what became of this task: let it be done, first.
            asyncio.get_running_loop().call_soon(self._moved.set)

    def _raise_error(self) -> None:
        if self._writing is not None and self._writing.done():
            self._writing.result()
