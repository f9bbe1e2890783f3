"""A download on its way to its place: written beside it, and moved there whole or not at all."""

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from distconv.client.local import OutputDeniedError, check_output, check_room, disk_full
from distconv.core.errors import (
    AlreadyExistsError,
    DataLossError,
    DistconvError,
)

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Linux takes 255 bytes for a name; this leaves room for the dot and the ending.
_MAX_STEM_BYTES = 230
# The endings of those that nobody goes on with, or whoever comes to the same place.
_OF_ONE = re.compile(r"[0-9a-f]{8}|.+-stream")
# Read at once of what an earlier download left.
_READ_BYTES = 1024 * 1024


def stream_key(key: str) -> str:
    """Return the resume key of what is followed of the content `key`.

    What is left of one is removed by the next file to the same place that does not go on with it.
    """
    return f"{key}-stream"


class PartialFile:
    """A file that appears at `path` only when it is whole.

    Leaving it early removes it, and what a killed one left there too is removed by
    the next to the same place; with a `resume_key`, which names the content, what
    was written stays beside `path` instead, and the next one with that key goes
    on there.
    """

    def __init__(self, path: Path, *, overwrite: bool, resume_key: str = "") -> None:
        # A link is followed, so that the link stays and the file behind it changes.
        self._path = path.resolve()
        self._named = path
        self._overwrite = overwrite
        self._resume_key = resume_key
        self._digest = hashlib.sha256()
        self._descriptor = -1
        self._temporary: Path | None = None
        self.written_bytes = 0

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._open)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Not in a thread: it must happen even while the loop is being torn down.
        self._discard()

    async def reserve(self, size_bytes: int) -> None:
        """Raise DiskFullError at once when `size_bytes` will not fit."""
        if self.written_bytes > size_bytes:  # of something else: begin anew
            await asyncio.to_thread(self._restart)
        needed = size_bytes - self.written_bytes
        await asyncio.to_thread(
            check_room, self._path.parent, needed, what=f"the output '{self._named}'"
        )

    async def append(self, parts: Sequence[bytes]) -> None:
        """Write `parts` at the end. Raises DiskFullError."""
        await asyncio.to_thread(self._append, parts)

    @property
    def path(self) -> Path:
        """Return where it lies now, for reading what was written."""
        assert self._temporary is not None  # noqa: S101  # opened before
        return self._temporary

    def is_whole(self, *, size_bytes: int, sha256: str) -> bool:
        """Say whether what was written is what it should be."""
        return self.written_bytes == size_bytes and self._digest.hexdigest() == sha256

    async def commit(self, *, size_bytes: int, sha256: str) -> None:
        """Check what was written, make it durable, and move it to its place.

        Raises DataLossError when it is not what it should be, AlreadyExistsError
        when something came to stand there meanwhile.
        """
        found = self._digest.hexdigest()
        if self.written_bytes != size_bytes or (sha256 and found != sha256):
            self._resume_key = ""  # nothing to go on with
            raise DataLossError(
                f"the download is not what was stored: {self.written_bytes} bytes with SHA-256 "
                f"{found[:12]}…, not {size_bytes} with {sha256[:12]}…; try again"
            )
        await asyncio.to_thread(self._commit)

    def drop(self) -> None:
        """Remove what was written and is not in its place; harmless when repeated."""
        self._resume_key = ""
        self._discard()

    def _open(self) -> None:
        check_output(self._path, overwrite=self._overwrite)
        stem = os.fsdecode(os.fsencode(self._path.name)[:_MAX_STEM_BYTES])
        ending = self._resume_key or secrets.token_hex(4)
        temporary = self._path.parent / f".{stem}.part-{ending}"
        try:
            self._descriptor = self._opened(temporary)
        except OSError as error:
            raise self._wrapped(error) from error
        self._temporary = temporary
        self._clear_orphans(stem)

    def _clear_orphans(self, stem: str) -> None:
        """Remove what others to the same place have left that were killed: no one holds it."""
        prefix = f".{stem}.part-"
        for found in self._path.parent.iterdir():
            ending = found.name.removeprefix(prefix)
            is_one = ending != found.name and _OF_ONE.fullmatch(ending) is not None
            if is_one and found != self._temporary:
                with contextlib.suppress(OSError):  # gone, or somebody else's
                    _remove_unless_held(found)

    def _opened(self, temporary: Path) -> int:
        while True:
            flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(temporary, flags, 0o666)
            try:
                self._lock(descriptor)
                # Who held it may have moved it to its place, or removed it, meanwhile.
                if _is_at(descriptor, temporary):
                    self._take_up(descriptor)
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyExistsError(
                f"another download of the same to '{self._named}' is under way; let it end"
            ) from error
        except OSError:  # a file system without locks: then its name has to be nobody else's
            if self._resume_key:
                raise

    def _take_up(self, descriptor: int) -> None:
        while part := os.read(descriptor, _READ_BYTES):
            self._digest.update(part)
            self.written_bytes += len(part)

    def _restart(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._digest = hashlib.sha256()
        self.written_bytes = 0

    def _append(self, parts: Sequence[bytes]) -> None:
        for part in parts:
            view = memoryview(part)
            while view:
                try:
                    count = os.write(self._descriptor, view)
                except OSError as error:
                    raise self._wrapped(error) from error
                view = view[count:]
            self._digest.update(part)
            self.written_bytes += len(part)

    def _commit(self) -> None:
        assert self._temporary is not None  # noqa: S101  # opened before
        try:
            os.fsync(self._descriptor)
            if self._overwrite:
                self._temporary.replace(self._path)
            else:
                self._place_new(self._temporary)
            self._temporary = None
            _sync_folder(self._path.parent)
        except FileExistsError as error:
            raise AlreadyExistsError(
                f"the output '{self._named}' came to exist meanwhile; pass --overwrite to "
                "replace it, or choose another"
            ) from error
        except OSError as error:
            raise self._wrapped(error) from error

    def _place_new(self, temporary: Path) -> None:
        try:
            # A link never replaces what stands there, as a rename would.
            self._path.hardlink_to(temporary)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            if self._path.exists():
                raise FileExistsError(str(self._path)) from None
            temporary.rename(self._path)
        else:
            temporary.unlink()

    def _discard(self) -> None:
        if self._temporary is not None:
            if not (self._resume_key and self.written_bytes):
                self._temporary.unlink(missing_ok=True)
            self._temporary = None
        if self._descriptor >= 0:  # last: it holds the lock
            os.close(self._descriptor)
            self._descriptor = -1

    def _wrapped(self, error: OSError) -> DistconvError:
        if error.errno in _NO_ROOM:
            return disk_full(f"the output '{self._named}'", self._path.parent)
        if isinstance(error, PermissionError):
            return OutputDeniedError(f"cannot write the output '{self._named}': permission denied")
        return DistconvError(
            f"writing the output '{self._named}' failed: {error.strerror or error}"
        )


def _remove_unless_held(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems have no such thing
            raise
    finally:
        os.close(descriptor)
