"""Download a source into a file of the scratch folder."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from distconv.core.errors import DataLossError
from distconv.engine.scratch import scratch_errors
from distconv.engine.source import Source
from distconv.media.feeding import PIECE_BYTES, read_layout
from distconv.media.layout import as_is
from distconv.media.ports import Buffer


async def fetch(
    source: Source,
    target: Path,
    *,
    read_ahead_bytes: int,
    on_read: Callable[[int], None],
) -> None:
    """Download `source`, several ranges at once, into the new file `target`.

    Each chunk is checked and asked for again after a break, and the whole has
    the digest that storage committed. A source on its way up is waited for.
    `on_read` gets the bytes that are there. Raises DataLossError,
    DiskFullError, UploadFailedError and UnavailableError.
    """
    digest = hashlib.sha256()
    done = 0
    pieces = read_layout(
        source,
        as_is(source.size_bytes, "it is transferred as a file"),
        read_ahead=max(1, read_ahead_bytes // PIECE_BYTES),
    )
    with scratch_errors("the source"):
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                digest.update(piece)
                with scratch_errors("the source"):
                    await asyncio.to_thread(write_all, fd, piece)
                done += len(piece)
                on_read(done)
    finally:
        os.close(fd)
    committed = await source.settle()
    if digest.hexdigest() != committed:
        raise DataLossError(
            f"what was downloaded has the SHA-256 {digest.hexdigest()[:12]}…, the source as it was "
            f"committed {committed[:12]}…; download it again"
        )


def write_all(fd: int, data: Buffer) -> None:
    """Write all of `data` at the file's place; blocks."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
