"""A folder for temporary files of one process, beside those of others, living and dead.

`ROOT/process-…/lock` is held by the process that the folder belongs to, as long
as it lives; `ROOT/lock` for a moment, while a folder is made or dead ones are
removed.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = "lock"


class ProcessFolder:
    """Own a folder below `root`, locked as long as the process lives; every method blocks."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.path = self._root / f"process-{secrets.token_hex(8)}"
        self._fd = -1

    def open(self) -> None:
        """Make the folder, and remove those of processes that have died. Raises OSError."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self._root / _LOCK):
            for other in self._root.glob("process-*"):
                if not _is_alive(other):
                    shutil.rmtree(other, ignore_errors=True)
            self.path.mkdir(mode=0o700)
            self._fd = _open_lock(self.path / _LOCK)
            fcntl.flock(self._fd, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove the folder; harmless when repeated."""
        if self._fd >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._fd)
            self._fd = -1


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    fd = _open_lock(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_alive(folder: Path) -> bool:
    try:
        fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # its process died before it had the lock, or was removed half
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
