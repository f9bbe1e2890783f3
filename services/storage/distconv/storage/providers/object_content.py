"""A content on its way into the bucket: hashed as it passes, sent in parts."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from distconv.core.ranges import Range
from distconv.storage.blocks import BlockSums
from distconv.storage.providers.object_bucket import Bucket
from distconv.storage.providers.port import Published
from distconv.storage.threads import Threads

# Fetched ahead of the part that is hashed and sent.
_AHEAD = 2


async def publish(
    bucket: Bucket,
    path: str,
    parts: AsyncGenerator[bytes, None],
    size_bytes: int,
    *,
    key: str,
    threads: Threads,
) -> Published:
    """Make the parts the content of `path`, at once, and say what passed."""
    digest, blocks = hashlib.sha256(), BlockSums(size_bytes)

    def look(part: bytes) -> None:
        digest.update(part)
        blocks.update(part)

    async def hashed() -> AsyncIterator[bytes]:
        async for part in parts:
            await threads.run(look, part)
            yield part

    async with aclosing(parts):
        if size_bytes <= bucket.part_bytes:
            await bucket.put(path, b"".join([part async for part in hashed()]), key=key)
        else:
            await bucket.put_parts(path, hashed(), size_bytes, key=key)
    return Published(sha256=digest.hexdigest(), blocks=blocks.result())


async def fetched_ahead(
    spans: Sequence[Range], fetch: Callable[[int, int], Awaitable[bytes]]
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of spans in their order, a few of them fetched ahead."""
    waiting: deque[asyncio.Future[bytes]] = deque()
    try:
        for span in spans:
            waiting.append(asyncio.ensure_future(fetch(*span)))
            if len(waiting) > _AHEAD:
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for left in waiting:
            left.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def file_parts(path: Path, part_bytes: int, threads: Threads) -> AsyncGenerator[bytes, None]:
    """Yield a file in parts."""
    file = await threads.run(path.open, "rb")
    try:
        while part := await threads.run(file.read, part_bytes):
            yield part
    finally:
        await threads.run(file.close)
