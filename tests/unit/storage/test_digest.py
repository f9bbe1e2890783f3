import asyncio
import hashlib
import os
import random
from itertools import pairwise

import google_crc32c
from hypothesis import given
from hypothesis import strategies as st

from distconv.core.ranges import RangeSet
from distconv.storage.digest import FrontierDigest
from distconv.storage.threads import Threads

CONTENT = random.Random(7).randbytes(5000)  # noqa: S311


async def _arrive(cuts: list[int], order: list[int], *, catch_up: int) -> FrontierDigest:
    threads = Threads(1)
    digest = FrontierDigest(threads)
    written = RangeSet()

    async def read(offset: int, length: int) -> bytes:
        assert written.covers(offset, offset + length)
        return CONTENT[offset : offset + length]

    bounds = [0, *sorted(cuts), len(CONTENT)]
    pieces = [(a, CONTENT[a:b]) for a, b in pairwise(bounds) if a < b]
    for place in order:
        offset, data = pieces[place % len(pieces)]
        await digest.feed([(offset, data)])
        written.add(offset, offset + len(data))
        await digest.catch_up(written, read, limit_bytes=catch_up)
    written.add(0, len(CONTENT))
    await digest.catch_up(written, read, limit_bytes=len(CONTENT))
    threads.close()
    return digest


@given(
    st.lists(st.integers(1, len(CONTENT) - 1), max_size=8, unique=True),
    st.lists(st.integers(0, 8), max_size=12),
    st.sampled_from([0, 100, 10_000]),
)
def test_any_order_gives_the_digest_of_the_whole(
    cuts: list[int], order: list[int], catch_up: int
) -> None:
    digest = asyncio.run(_arrive(cuts, order, catch_up=catch_up))
    assert digest.frontier == len(CONTENT)
    assert digest.hexdigest() == hashlib.sha256(CONTENT).hexdigest()
    assert digest.blocks().packed == google_crc32c.value(CONTENT).to_bytes(4, "big")


async def test_large_pieces_are_hashed_in_a_thread_and_reset_begins_anew(threads: Threads) -> None:
    digest = FrontierDigest(threads)
    data = os.urandom(300_000)
    await digest.feed([(0, data[:200_000]), (200_000, data[200_000:])])
    assert digest.hexdigest() == hashlib.sha256(data).hexdigest()
    digest.reset()
    assert digest.frontier == 0
    assert digest.hexdigest() == hashlib.sha256(b"").hexdigest()
