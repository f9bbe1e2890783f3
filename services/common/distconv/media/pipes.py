"""Pipes to and from a child on the event loop, without threads and with few copies.

asyncio's own transports keep buffers of their own on both sides; here the
kernel's pipe is the only buffer, so memory stays flat and back-pressure is the
pipe's.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Awaitable, Callable

from distconv.media.ports import Buffer

# The kernel's limit for an unprivileged process (fs.pipe-max-size): fewer
# wake-ups than the default of 64 KiB.
PIPE_BYTES = 1 << 20


def open_pipe(size_bytes: int = PIPE_BYTES) -> tuple[int, int]:
    """Open a pipe, enlarged where the system allows it; return its read and write ends."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # EPERM: the user's pipe quota is used up
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, size_bytes)
    return read_end, write_end


class PipeEnd:
    """Own our end of a pipe; closing is harmless when repeated."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd

    @property
    def closed(self) -> bool:
        """Say whether it is closed."""
        return self.fd < 0

    def close(self) -> None:
        """Close this end."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class PipeWriter(PipeEnd):
    """Write to a child."""

    async def write(self, data: Buffer) -> None:
        """Write all of `data`, waiting while the pipe is full.

        Raises BrokenPipeError when the child reads no more.
        """
        view = memoryview(data).cast("B")
        while len(view):
            try:
                view = view[os.write(self.fd, view) :]
            except BlockingIOError:
                await _ready(self.fd, write=True)


class PipeReader(PipeEnd):
    """Read from a child."""

    async def read(self, length: int) -> bytes:
        """Return at least one byte and at most `length`; b"" at the end."""
        while True:
            try:
                return os.read(self.fd, length)
            except BlockingIOError:
                await _ready(self.fd, write=False)

    async def read_exactly(self, length: int) -> bytes:
        """Return `length` bytes; raise EOFError when the pipe ends before."""
        parts = bytearray()
        while len(parts) < length:
            piece = await self.read(min(length - len(parts), PIPE_BYTES))
            if not piece:
                raise EOFError(f"the pipe ended after {len(parts)} of {length} bytes")
            parts += piece
        return bytes(parts)

    async def drain(
        self,
        take: Callable[[memoryview], Awaitable[None]],
        *,
        chunk_bytes: int,
        max_delay_s: float,
    ) -> None:
        """Hand everything to `take` until the end, in pieces of `chunk_bytes`.

        A smaller piece is handed on when its first byte is older than
        `max_delay_s`, and at the end. The buffer is reused: `take` must not keep it.
        """
        loop = asyncio.get_running_loop()
        buffer = memoryview(bytearray(chunk_bytes))
        filled, oldest = 0, 0.0
        while True:
            count = await self._read_into(buffer[filled:], oldest + max_delay_s if filled else None)
            if filled == 0:
                oldest = loop.time()
            filled += count or 0
            overdue = count is None or loop.time() >= oldest + max_delay_s
            if filled and (filled == chunk_bytes or count == 0 or overdue):
                await take(buffer[:filled])
                filled = 0
            if count == 0:
                return

    async def _read_into(self, buffer: memoryview, deadline: float | None) -> int | None:
        """Return how many bytes were read, 0 at the end, None when the deadline passed."""
        while True:
            try:
                return os.readv(self.fd, [buffer])
            except BlockingIOError:
                try:
                    async with asyncio.timeout_at(deadline):
                        await _ready(self.fd, write=False)
                except TimeoutError:
                    return None


async def _ready(fd: int, *, write: bool) -> None:
    """Wait until `fd` can be read or written."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    add, remove = (
        (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
    )
    add(fd, wake)
    try:
        await future
    finally:
        remove(fd)
