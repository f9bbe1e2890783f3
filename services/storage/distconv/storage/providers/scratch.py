"""A folder for temporary files of one process, beside those of others, living and dead."""

import fcntl
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from distconv.storage.providers import local_files as files

_LOCK = "lock"


class Scratch:
    """Own a folder below `root`, locked as long as the process lives; every method blocks."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.folder = self._root / f"process-{secrets.token_hex(8)}"
        self._fd = -1

    def open(self) -> None:
        """Make the folder, and remove those of processes that have died. Raises OSError."""
        files.make_folder(self._root)
        for other in self._root.glob("process-*"):
            _remove_if_dead(other)
        self.folder.mkdir(mode=0o700)
        self._fd = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove the folder; harmless when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            shutil.rmtree(self.folder, ignore_errors=True)


def _remove_if_dead(folder: Path) -> None:
    with suppress(FileNotFoundError):  # one that is made, or removed, just now
        fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        finally:
            os.close(fd)
        shutil.rmtree(folder, ignore_errors=True)
