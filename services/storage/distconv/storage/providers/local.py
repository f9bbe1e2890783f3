"""Local disk.

    ROOT/storage-id        with several pools: which belong together (`marks`)
    ROOT/lock              held by the one process that uses the folder
    ROOT/objects/KEY       what is stored, each file whole
    ROOT/staging/…         uploads under way: `.part` and `.journal`
    ROOT/scratch/…         temporary files; emptied at every start

All of it has to lie on one file system, so that a rename or a link publishes.
"""

import fcntl
import os
import secrets
import shutil
import stat as modes
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from distconv.core.errors import (
    AlreadyExistsError,
    InternalError,
    NotFoundError,
    UnavailableError,
    UnimplementedError,
)
from distconv.storage.providers import local_files as files
from distconv.storage.providers.disk_errors import disk_errors
from distconv.storage.providers.local_reader import LocalReader
from distconv.storage.providers.local_staging import JOURNAL, PART, LocalStaging
from distconv.storage.providers.port import Published, Stat
from distconv.storage.providers.sections import OBJECTS, SCRATCH, STAGING
from distconv.storage.threads import Threads

# No key segment holds it, so that a key can be one file name.
_SEPARATOR = "~"


class LocalProvider:
    """Implement `Provider` on a folder."""

    shared = False

    def __init__(self, root: Path, threads: Threads) -> None:
        self._root = root.absolute()
        self._threads = threads
        self._lock_fd = -1

    async def start(self) -> None:
        """Make the folders, take the lock, empty the scratch folder."""
        with disk_errors("the storage folder"):
            await self._threads.run(self._start)

    def _start(self) -> None:
        for name in (OBJECTS, STAGING, SCRATCH):
            files.make_folder(self._root / name)
        # Not open for writing: it would keep the disk from being made read-only.
        lock = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC
        self._lock_fd = os.open(self._root / "lock", lock, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock_fd)
            self._lock_fd = -1
            raise UnavailableError(
                f"another storage process uses {self._root}; stop it, or choose another --data-dir"
            ) from error
        for leftover in (self._root / SCRATCH).iterdir():
            _remove(leftover)

    async def close(self) -> None:
        """Give the lock back."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    async def free_bytes(self, key: str = "") -> int | None:  # noqa: ARG002  # the port's
        """Return what the disk has left for this process."""
        with disk_errors("the storage folder"):
            return await self._threads.run(self._free_bytes)

    def _free_bytes(self) -> int:
        self._require_folder()  # what is left without its disk is the room of another
        return shutil.disk_usage(self._root).free

    async def get(self, key: str) -> bytes:
        """Return a small file whole."""
        with self._reading(key):
            return await self._threads.run(self._path(key).read_bytes)

    async def put(self, key: str, data: bytes) -> None:
        """Write a small file: aside, fsync, rename, fsync of its folder."""
        with disk_errors(key):
            await self._threads.run(files.write_whole, self._scratch, self._path(key), data)

    async def create(self, key: str, data: bytes) -> None:
        """Write a small file as `put` does, unless there is one: the folder is ours alone."""
        with disk_errors(key):
            if await self._threads.run(self._path(key).exists):
                raise AlreadyExistsError(f"{key} is at storage already")
        await self.put(key, data)

    async def stat(self, key: str) -> Stat:
        """Describe a file."""
        with self._reading(key):
            return _stat(key, await self._threads.run(self._path(key).stat))

    async def keys(
        self,
        prefix: str = "",
        *,
        skip_away: bool = False,  # noqa: ARG002  # the port's
    ) -> Sequence[str]:
        """Return the keys under a folder, sorted."""
        with disk_errors(prefix):
            return await self._threads.run(self._list, prefix)

    def _list(self, prefix: str) -> list[str]:
        self._require_folder()
        base = self._root / OBJECTS
        keys = []
        for folder, _, names in os.walk(self._path(prefix.removesuffix("/")) if prefix else base):
            above = Path(folder).relative_to(base)
            keys += [f"{above}/{name}" for name in names]
        return sorted(keys)

    async def open(self, key: str) -> LocalReader:
        """Open a file."""
        with self._reading(key):
            fd = await self._threads.run(os.open, self._path(key), os.O_RDONLY | os.O_CLOEXEC)
        return LocalReader(fd, key, self._threads)

    async def delete(self, key: str) -> None:
        """Delete a file."""
        with disk_errors(key):
            await self._threads.run(self._path(key).unlink, missing_ok=True)

    async def copy(self, source: str, target: str) -> None:
        """Copy a file: aside, fsync, rename, fsync of its folder."""
        with self._reading(source):
            await self._threads.run(
                files.copy_whole, self._scratch, self._path(source), self._path(target)
            )

    async def url(self, key: str, ttl: timedelta) -> str:  # noqa: ARG002  # the port's signature
        """Refuse: a disk has no URLs."""
        raise UnimplementedError("this storage lies on a local disk, which has no URLs: use Read")

    def file_path(self, key: str) -> str:
        """Return where a file lies in the folder."""
        return f"objects/{_checked(key)}"

    async def stage(self, key: str) -> LocalStaging:
        """Open a staging."""
        base = self._staging_base(key)
        staging = LocalStaging(key=key, base=base, root=self._root, threads=self._threads)
        return await staging.open()

    async def stagings(self, *, skip_away: bool = False) -> Sequence[Stat]:  # noqa: ARG002  # the port's
        """Describe every staging."""
        with disk_errors("the staging folder"):
            return await self._threads.run(self._stagings)

    def _stagings(self) -> list[Stat]:
        found: dict[str, Stat] = {}
        for file in sorted((self._root / STAGING).iterdir()):
            key = file.name.removesuffix(file.suffix).replace(_SEPARATOR, "/")
            if file.suffix == PART or key not in found:
                found[key] = _stat(key, file.stat())
        return list(found.values())

    async def discard_staging(self, key: str) -> None:
        """Delete the files of a staging."""
        base = self._staging_base(key)
        with disk_errors(key):
            for suffix in (PART, JOURNAL, ".new"):
                path = base.with_name(base.name + suffix)
                await self._threads.run(path.unlink, missing_ok=True)

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[Path]:
        """Give a folder beside the objects."""
        # Named before it is made: a caller that is cancelled meanwhile leaves none behind.
        folder = self._scratch / f"work-{secrets.token_hex(8)}"
        try:
            with disk_errors("the scratch folder"):
                await self._threads.run(folder.mkdir, mode=0o700)
            yield folder
        finally:
            await self._threads.run(shutil.rmtree, folder, ignore_errors=True)

    async def adopt(self, file: Path, key: str) -> Published:
        """Give a file of the scratch folder its final name; one of elsewhere is copied."""
        with disk_errors(key):
            await self._threads.run(self._adopt, file, self._path(key))
        return Published()

    def _adopt(self, file: Path, target: Path) -> None:
        if file.is_relative_to(self._scratch):
            files.sync_file(file)
            files.place(file, target)
        else:  # of another pool, which may be another disk
            files.copy_whole(self._scratch, file, target)

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        """Turn an OSError into the tree's error; what is missing with its disk is not NotFound."""
        try:
            with disk_errors(key, reading=True):
                yield
        except NotFoundError:
            self._require_folder()
            raise

    def _require_folder(self) -> None:
        """Raise UnavailableError unless the folder that was locked still lies at its path."""
        if self._lock_fd < 0:
            return
        ours = os.fstat(self._lock_fd)
        try:
            there = os.stat(self._root / "lock")  # noqa: PTH116  # its twin is os.fstat
        except FileNotFoundError:
            there = None
        if there is None or not os.path.samestat(ours, there):
            raise UnavailableError(
                "the storage folder has vanished from its path; see that its disk is mounted, "
                "then start storage again"
            )

    @property
    def _scratch(self) -> Path:
        return self._root / SCRATCH

    def _staging_base(self, key: str) -> Path:
        return self._root / STAGING / _checked(key).replace("/", _SEPARATOR)

    def _path(self, key: str) -> Path:
        return self._root / OBJECTS / _checked(key)


def _checked(key: str) -> str:
    # Keys are built from checked ids; this catches a fault of ours, not of a user.
    parts = key.split("/")
    if not all(part and not part.startswith(".") and part.isprintable() for part in parts):
        raise InternalError("storage built a key that is none")
    if any(mark in key for mark in (_SEPARATOR, "\\")):
        raise InternalError("storage built a key that is none")
    return key


def _stat(key: str, found: os.stat_result) -> Stat:
    modified = datetime.fromtimestamp(found.st_mtime, tz=UTC)
    return Stat(key=key, size_bytes=found.st_size, modified_time=modified)


def _remove(path: Path) -> None:
    if modes.S_ISDIR(path.lstat().st_mode):
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
