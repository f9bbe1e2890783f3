"""Uploads that a client which was killed goes on with: which object a file was becoming."""

import contextlib
import fcntl
import hashlib
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import platformdirs

# Storage gives up what nobody goes on with after a day by default; nothing is worth more memory.
_KEPT_S = 7 * 86_400.0


def state_folder() -> Path:
    """Return where a user's unfinished work is remembered."""
    return Path(platformdirs.user_state_dir("distconv"))


def file_key(source: Path, **known_by: object) -> str:
    """Return the key of what is done with a file, 32 hexadecimal digits.

    It is another when the file, its size or its time is, or any of `known_by`.
    """
    found = source.stat()
    content = {
        "path": os.fsencode(source.resolve()).hex(),
        "inode": found.st_ino,
        "size_bytes": found.st_size,
        "time_ns": found.st_mtime_ns,
        **known_by,
    }
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class RememberedUpload:
    """The memory of one upload, which is one file; a context manager.

    What it is known by holds all that must be the same for going on: the server, the tenant, the
    file with its size and time, and what it is called. While one process has it, another that
    uploads the same file gets none, and sends it for itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self.object = ""

    @classmethod
    def of(cls, source: Path, *, folder: Path | None = None, **known_by: object) -> Self:
        """Return the memory of a file's upload."""
        return cls((folder or state_folder() / "uploads") / file_key(source, **known_by))

    def __enter__(self) -> Self:
        # Without a place to remember in, one uploads all the same.
        with contextlib.suppress(OSError):
            self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor >= 0:
            if not self.object:
                self._remove()
            with contextlib.suppress(OSError):  # a network's file system may refuse here only
                os.close(self._descriptor)  # last: it holds the lock
            self._descriptor = -1

    def remember(self, name: str) -> None:
        """Remember which object the file becomes; on a disk that takes nothing, while it lasts."""
        self.object = name
        if self._descriptor < 0:
            return
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, name.encode(), 0)
        except OSError:
            self._remove()  # it may name another by now, or half of one

    def forget(self) -> None:
        """Remember none: it is committed, or of no use."""
        self.object = ""

    def _remove(self) -> None:
        with contextlib.suppress(OSError):  # gone with its disk, or read-only: nothing is lost
            self._path.unlink()

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(self._path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._require_at_path(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self.object = os.pread(descriptor, 256, 0).decode("ascii", "replace")

    def _require_at_path(self, descriptor: int) -> None:
        # Who held it may have removed it meanwhile: then nobody would find what is written.
        if not os.path.samestat(os.fstat(descriptor), self._path.lstat()):
            raise FileNotFoundError(self._path)


def _sweep(folder: Path) -> None:
    oldest = time.time() - _KEPT_S
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime < oldest:
                path.unlink()
