import asyncio
import random
import tracemalloc

import pytest

from distconv.engine.held_blocks import HeldBlocks

MIB = 1024 * 1024


class Fetching:
    """Blocks that say their index in every byte, and come when the loop has gone round."""

    def __init__(self, block_bytes: int = 100) -> None:
        self.block_bytes = block_bytes
        self.fetched: list[int] = []

    async def fetch(self, index: int) -> bytes:
        self.fetched.append(index)
        for _ in range(index % 3 + 1):
            await asyncio.sleep(0)
        return bytes([index]) * self.block_bytes


@pytest.mark.parametrize("budget_bytes", [1, 100, 250, 10_000])
async def test_every_reader_gets_its_part_however_little_room_there_is(budget_bytes: int) -> None:
    fetching = Fetching()
    held = HeldBlocks(fetching.fetch, block_bytes=100, budget_bytes=budget_bytes)
    wanted = [random.SystemRandom().randrange(30) for _ in range(300)]
    reads = [held.part(index, 10, 15, ahead=range(index + 1, index + 3)) for index in wanted]
    async with asyncio.timeout(20):
        found = await asyncio.gather(*reads)
    assert found == [bytes([index]) * 5 for index in wanted]
    await held.close()


async def test_blocks_in_order_are_fetched_once_and_the_next_one_ahead() -> None:
    fetching = Fetching()
    held = HeldBlocks(fetching.fetch, block_bytes=100, budget_bytes=200)
    for index in range(5):
        for at in range(0, 100, 20):
            await held.part(index, at, at + 20, ahead=range(index + 1, index + 2))
    assert fetching.fetched == [0, 1, 2, 3, 4, 5]
    await held.close()


@pytest.mark.parametrize(
    ("block_bytes", "budget_bytes"), [(16 * MIB, 16 * MIB), (16 * MIB, 40 * MIB)]
)
async def test_with_the_largest_blocks_memory_stays_within_the_budget(
    block_bytes: int, budget_bytes: int
) -> None:
    fetching = Fetching(block_bytes)
    held = HeldBlocks(fetching.fetch, block_bytes=block_bytes, budget_bytes=budget_bytes)
    tracemalloc.start()
    try:
        reads = (
            held.part(index, at, at + 1000, ahead=range(index + 1, index + 5))
            for index in range(6)
            for at in range(0, block_bytes, 4 * MIB)
        )
        await asyncio.gather(*reads)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < budget_bytes + MIB
    await held.close()


async def test_who_goes_away_leaves_its_room_to_others() -> None:
    gate = asyncio.Event()

    async def fetch(index: int) -> bytes:
        await gate.wait()
        return bytes([index])

    held = HeldBlocks(fetch, block_bytes=1, budget_bytes=1)
    first = asyncio.create_task(held.part(0, 0, 1))
    await asyncio.sleep(0)
    other = asyncio.create_task(held.part(1, 0, 1))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    gate.set()
    assert await other == b"\x01"
    await held.close()


async def test_what_cannot_be_fetched_fails_who_wants_it_alone() -> None:
    async def fetch(index: int) -> bytes:
        if index == 1:
            raise OSError("away")
        return bytes([index])

    held = HeldBlocks(fetch, block_bytes=1, budget_bytes=2)
    assert await held.part(0, 0, 1, ahead=range(1, 2)) == b"\x00"
    with pytest.raises(OSError, match="away"):
        await held.part(1, 0, 1)
    assert await held.part(2, 0, 1) == b"\x02"
    await held.close()
