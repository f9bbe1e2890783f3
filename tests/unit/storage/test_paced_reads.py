"""A reader's pacer and the storage that serves it, together: whatever comes, they go on."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from distconv.rpc.pacing import Grant, Pacer
from distconv.storage.read_requests import ReadRequest, ReadRequests
from distconv.storage.testing import SteppedClock

_LOAD_BYTES = 1 << 20


def _request(grant: Grant) -> ReadRequest:
    return ReadRequest(range=None, credit_bytes=grant.credit_bytes, chunk_bytes=grant.chunk_bytes)


class _Stream:
    """One stream of reads: what storage sends, and what its reader makes of it."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes  # storage's own bound of a chunk
        self._clock = SteppedClock()
        self._pacer = Pacer(clock=self._clock)
        self._granted: asyncio.Queue[ReadRequest] = asyncio.Queue()
        self._sent: asyncio.Queue[int] = asyncio.Queue()

    async def run(self, loads: list[tuple[int, float]]) -> None:
        """Send loads of so many bytes, which are written at so many bytes/s."""
        first = self._pacer.grant()
        requests = ReadRequests(
            ReadRequest(
                range=(0, 0), credit_bytes=first.credit_bytes, chunk_bytes=first.chunk_bytes
            ),
            self._rest(),
        )
        async with requests, asyncio.timeout(5):
            assert await anext(requests.ranges()) == (0, 0)
            reading = asyncio.create_task(self._read(loads))
            for load_bytes, _ in loads:
                # Cut before it is sent, as what is read ahead is.
                piece_bytes = min(requests.chunk_bytes, self._most_bytes)
                for at in range(0, load_bytes, piece_bytes):
                    piece = min(piece_bytes, load_bytes - at)
                    await requests.spend(piece)
                    self._sent.put_nowait(piece)
            await reading

    async def _rest(self) -> AsyncIterator[ReadRequest]:
        while True:
            yield await self._granted.get()

    async def _read(self, loads: list[tuple[int, float]]) -> None:
        for load_bytes, rate in loads:
            left_bytes = load_bytes
            while left_bytes:
                piece = await self._sent.get()
                self._clock.step(timedelta(seconds=piece / rate))
                self._pacer.written(piece)
                left_bytes -= piece
                grant = self._pacer.grant()
                if not grant.is_empty:
                    self._granted.put_nowait(_request(grant))


_SPEEDS = st.sampled_from([1e5, 2e6, 7e6, 30e6, 60e6, 200e6, 1e9])
_LOADS = st.one_of(st.just(_LOAD_BYTES), st.integers(1, _LOAD_BYTES))


@given(
    lines=st.lists(
        st.tuples(_SPEEDS, st.lists(_LOADS, min_size=1, max_size=40)), min_size=1, max_size=6
    ),
    most_bytes=st.sampled_from([4096, 100_000, 700_000, 1 << 20]),
)
async def test_a_paced_read_stands_still_nowhere(
    lines: list[tuple[float, list[int]]], most_bytes: int
) -> None:
    loads = [(load, rate) for rate, sizes in lines for load in sizes]
    await _Stream(most_bytes).run(loads)


async def test_a_line_that_becomes_slow_in_the_middle_stands_still_nowhere() -> None:
    for odd_bytes in range(1, _LOAD_BYTES, 77_777):
        fast = [(_LOAD_BYTES, 1e9)] * 40
        slow = [(load, 3e6) for load in (_LOAD_BYTES - odd_bytes, odd_bytes) * 40]
        await _Stream(1 << 20).run(fast + slow)
