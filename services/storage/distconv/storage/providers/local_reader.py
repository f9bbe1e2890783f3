"""A file on local disk, open for reading."""

import os

from distconv.storage.providers.disk_errors import disk_errors
from distconv.storage.providers.local_files import read_pieces
from distconv.storage.threads import Threads


class LocalReader:
    """Implement `Reader` over one open file."""

    def __init__(self, fd: int, key: str, threads: Threads) -> None:
        self._fd = fd
        self._key = key
        self._threads = threads
        self.size_bytes = os.fstat(fd).st_size

    async def read(self, offset: int, length: int, *, piece_bytes: int) -> list[bytes]:
        """Read a range; one hop off the loop for all of its pieces."""
        with disk_errors(self._key):
            return await self._threads.run(read_pieces, self._fd, offset, length, piece_bytes)

    async def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
