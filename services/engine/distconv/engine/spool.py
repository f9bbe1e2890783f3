"""Gather an output in a file, and send it to storage once it is whole and checked."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from distconv.core.errors import DataLossError
from distconv.engine.fetching import write_all
from distconv.engine.scratch import is_full, scratch_errors
from distconv.media.ports import Buffer, ByteSink

_PIECE_BYTES = 1 << 20


class OutputSpool:
    """A FileSink over a file of at most `room_bytes`.

    An output that outgrows its room, or the disk, is streamed from there on:
    what was gathered goes first. So there is no output that does not fit.
    """

    def __init__(
        self,
        upload: ByteSink,
        path: Path,
        *,
        room_bytes: int,
        begin: Callable[[], Awaitable[None]],
    ) -> None:
        """`begin` opens the upload. Raises DiskFullError and UnavailableError."""
        self._upload = upload
        self._begin = begin
        self._path = path
        self._room_bytes = room_bytes
        self._kept_bytes = 0  # of the file; what a full disk took of more does not count
        self._streams = False
        with scratch_errors("the output"):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.written_bytes = 0

    async def write(self, data: Buffer) -> None:
        """Take `data`. Raises UnavailableError, or what the upload raises."""
        if not self._streams and not await self._kept(data):
            await self.send()
        if self._streams:
            await self._upload.write(data)
        self.written_bytes += len(data)

    async def _kept(self, data: Buffer) -> bool:
        if self._kept_bytes + len(data) > self._room_bytes:
            return False
        with scratch_errors("the output"):
            try:
                await asyncio.to_thread(write_all, self._fd, data)
            except OSError as error:
                if is_full(error):
                    return False
                raise
        self._kept_bytes += len(data)
        return True

    async def file(self) -> Path | None:
        """Return the file of all that was written; None when it is streamed."""
        return None if self._streams else self._path

    async def send(self) -> None:
        """Send what was gathered, and stream whatever is written from now on."""
        if self._streams:
            return
        self._streams = True
        await self._begin()
        offset = 0
        while offset < self._kept_bytes:
            length = min(_PIECE_BYTES, self._kept_bytes - offset)
            with scratch_errors("the output"):
                data = await asyncio.to_thread(os.pread, self._fd, length, offset)
            if not data:
                raise DataLossError("the output's file on the scratch disk was cut short")
            await self._upload.write(data)
            offset += len(data)
        self.close()
        self._path.unlink()

    def close(self) -> None:
        """Let the file go; harmless when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
