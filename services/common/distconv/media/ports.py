"""The ports of the media path: where source bytes come from, where output bytes go."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from distconv.core.errors import OutOfRangeError

Buffer = bytes | bytearray | memoryview


class RangedSource(Protocol):
    """Read a source in any order.

    `read` answers exactly `length` bytes, or fewer only at the end of the
    source; an offset at or beyond the end answers b"". Reads may be concurrent.
    """

    @property
    def size_bytes(self) -> int:
        """Return how many bytes there are."""
        ...

    async def read(self, offset: int, length: int) -> bytes:
        """Return the bytes of one range."""
        ...


class ByteSink(Protocol):
    """Take an output's bytes in order; `write` waits while the sink is busy."""

    async def write(self, data: Buffer) -> None:
        """Take `data`; it may be reused by the caller once this returns."""
        ...


class FileSink(ByteSink, Protocol):
    """A sink that may gather what it takes in a file first."""

    async def file(self) -> Path | None:
        """Return the file of all that was written so far; None when it lies in none."""
        ...


class BytesSource:
    """Serve bytes in memory; for tests and for small things."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size_bytes = len(data)

    async def read(self, offset: int, length: int) -> bytes:
        """Return the bytes of one range."""
        return self._data[offset : offset + length]


class FileSource:
    """Serve a regular file; close it, or use it as a context manager.

    Reads are short and from the page cache as a rule, so they run on the loop
    itself: a thread would cost more than it saves.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size_bytes = os.fstat(self._fd).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def read(self, offset: int, length: int) -> bytes:
        """Return the bytes of one range."""
        return os.pread(self._fd, length, offset)


class BytesSink:
    """Keep what is written, in memory; `limit_bytes` guards a test against a runaway."""

    def __init__(self, limit_bytes: int = 1 << 30) -> None:
        self.data = bytearray()
        self._limit = limit_bytes

    async def write(self, data: Buffer) -> None:
        """Take `data`."""
        if len(self.data) + len(data) > self._limit:
            raise OutOfRangeError(f"more than {self._limit} bytes written to a memory sink")
        self.data += data


class CallbackSink:
    """Hand what is written to a plain function."""

    def __init__(self, write: Callable[[Buffer], object]) -> None:
        self._write = write

    async def write(self, data: Buffer) -> None:
        """Take `data`."""
        self._write(data)
