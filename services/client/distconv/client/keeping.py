"""Write what arrives of a stream at once, while more arrives."""

import asyncio
from collections.abc import Callable

from distconv.client.partial import PartialFile
from distconv.rpc.pacing import Pacer


class Keeper:
    """Has at most one write under way; what comes meanwhile goes with the next one.

    Only what is written counts as arrived: what was not would have to come again
    after a death. What it holds is bounded by the credit that `pacer` gives.
    """

    def __init__(self, target: PartialFile, pacer: Pacer, on_kept: Callable[[], None]) -> None:
        """`on_kept` is called whenever more is written."""
        self._target = target
        self._pacer = pacer
        self._on_kept = on_kept
        self._waiting: list[bytes] = []
        self._writing: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self.ended = False

    def put(self, data: bytes) -> None:
        """Take what comes next. Raises what has made an earlier write fail."""
        self._waiting.append(data)
        if self._writing is None or self._writing.done():
            self._raise_error()
            self._writing = asyncio.create_task(self._write(), name="download write")

    def end(self) -> None:
        """Note that nothing more comes."""
        self.ended = True
        self._moved.set()

    async def moved(self) -> None:
        """Wait until more was written, or nothing more comes. Raises what made a write fail."""
        await self._moved.wait()
        self._moved.clear()
        self._raise_error()

    async def kept(self) -> None:
        """Wait until all is written; a thread that writes is never left behind."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
            self._writing.result()

    async def _write(self) -> None:
        try:
            while self._waiting:
                parts, self._waiting = self._waiting, []
                await self._target.append(parts)
                self._pacer.arrived(sum(map(len, parts)))
                self._moved.set()
                self._on_kept()
        finally:
            # Who is woken looks what became of this task: let it be done, first.
            asyncio.get_running_loop().call_soon(self._moved.set)

    def _raise_error(self) -> None:
        if self._writing is not None and self._writing.done():
            self._writing.result()
