"""A folder as the place of a pool, before it is locked."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from distconv.storage.providers import local_files as files
from distconv.storage.providers.disk_errors import disk_errors
from distconv.storage.providers.marks import FILE, Mark, parse_mark
from distconv.storage.providers.sections import OBJECTS, SCRATCH, STAGING
from distconv.storage.threads import Threads


class LocalSite:
    """Implement `Site` on a folder, which is one process's alone once it is locked."""

    remedy = "see that its disk is mounted where the settings say"

    def __init__(self, root: Path, threads: Threads) -> None:
        self._root = root.absolute()
        self._threads = threads
        self.where = str(self._root)
        self.mark_at = str(self._root / FILE)

    async def read(self) -> Mark:
        """Read the file."""
        with disk_errors(FILE):
            return await self._threads.run(self._read)

    def _read(self) -> Mark:
        try:
            line = (self._root / FILE).read_bytes()
        except FileNotFoundError:
            return Mark()
        return parse_mark(line, self.mark_at)

    async def begin(self, mark: Mark) -> None:
        """Write the file."""
        with disk_errors(FILE):
            await self._threads.run(self._write, mark)

    async def add(self, names: Sequence[str]) -> None:
        """Write the file anew, with more names."""
        mark = await self.read()
        await self.begin(replace(mark, pools=(*mark.pools, *names)))

    def _write(self, mark: Mark) -> None:
        files.write_whole(self._root / SCRATCH, self._root / FILE, f"{mark.line}\n".encode())

    async def holds_anything(self) -> bool:
        """Look for a file."""
        with disk_errors(FILE):
            return await self._threads.run(self._holds_anything)

    def _holds_anything(self) -> bool:
        return any(_files(self._root / OBJECTS)) or any(_files(self._root / STAGING))


def _files(folder: Path) -> Iterator[str]:
    for _, _, names in os.walk(folder):
        yield from names
