"""Blocks that are fetched or kept, of all of which there are so many bytes at most."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(slots=True)
class _Block:
    """A block on its way or here, and how many want something of it now."""

    task: "asyncio.Task[bytes]"
    users: int = 0


class HeldBlocks:
    """Fetch blocks once each, and keep those that were used last.

    A reader has one block at a time: who waits for room holds none, so that
    there is some in the end, even if it is that of one block.
    """

    def __init__(
        self, fetch: Callable[[int], Awaitable[bytes]], *, block_bytes: int, budget_bytes: int
    ) -> None:
        """`fetch` returns a block by its index; of `block_bytes` one at least is held."""
        self._fetch = fetch
        self._most = max(1, budget_bytes // block_bytes)
        self._blocks: OrderedDict[int, _Block] = OrderedDict()
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def part(self, index: int, start: int, end: int, *, ahead: range = range(0)) -> bytes:
        """Return bytes of a block; those of `ahead` are fetched meanwhile as far as there is room.

        Raises what fetching raises.
        """
        block = await self._block(index)
        block.users += 1
        try:
            for other in ahead:
                self._begin(other)
            data = await asyncio.shield(block.task)
            return data[start:end]
        finally:
            block.users -= 1
            self._wake()

    async def _block(self, index: int) -> _Block:
        while (block := self._begin(index)) is None:
            room: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(room)
            await room
        return block

    def _begin(self, index: int) -> _Block | None:
        """Return a block, fetched from now on if it is not here; None when there is no room."""
        block = self._blocks.get(index)
        if block is None:
            if not self._has_room():
                return None
            task = asyncio.create_task(_awaited(self._fetch(index)), name=f"block {index}")
            task.add_done_callback(self._note_end)
            block = self._blocks[index] = _Block(task)
        self._blocks.move_to_end(index)
        return block

    def _has_room(self) -> bool:
        """Say whether another block may come, in place of the one that is unused the longest."""
        if len(self._blocks) < self._most:
            return True
        for index, block in self._blocks.items():
            if not block.users and block.task.done():
                del self._blocks[index]
                return True
        return False

    def _note_end(self, task: "asyncio.Task[bytes]") -> None:
        if not task.cancelled():
            task.exception()  # one that was fetched ahead may fail with nobody waiting for it
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            room = self._waiting.popleft()
            if not room.done():
                room.set_result(None)

    async def close(self) -> None:
        """End what is under way."""
        tasks = [block.task for block in self._blocks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _awaited(work: Awaitable[bytes]) -> bytes:
    return await work
