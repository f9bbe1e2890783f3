"""Write what comes of a stream at once, while more comes."""

import asyncio
from collections.abc import Callable

from distconv.client.partial import PartialFile
from distconv.rpc.pacing import MOST_BYTES, Pacer
from distconv.rpc.window import Window


class FileWriter:
    """Has at most one write under way; what comes meanwhile goes with the next one.

    Only what is written counts with the pacer: what was not would have to come again
    after a death. Whatever storage sends, no more than `MOST_BYTES` are taken that are
    not written.
    """

    def __init__(self, target: PartialFile, pacer: Pacer, on_written: Callable[[], None]) -> None:
        """`on_written` is called whenever more is written."""
        self._target = target
        self._pacer = pacer
        self._on_written = on_written
        self._waiting: list[bytes] = []
        self._window = Window(MOST_BYTES)
        self._writing: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self.ended = False

    async def put(self, data: bytes) -> None:
        """Take what comes next. Raises what has made an earlier write fail."""
        await self._window.take(len(data))
        self._waiting.append(data)
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
        self._window.check()

    async def drained(self) -> None:
        """Wait until all is written; a thread that writes is never left behind."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        self._window.check()

    async def _write(self) -> None:
        try:
            while self._waiting:
                parts, self._waiting = self._waiting, []
                await self._target.append(parts)
                size_bytes = sum(map(len, parts))
                self._pacer.written(size_bytes)
                self._window.release(size_bytes)
                self._moved.set()
                self._on_written()
        except Exception as error:  # noqa: BLE001  # whoever puts has to hear of it
            self._window.fail(error)
            self._moved.set()
