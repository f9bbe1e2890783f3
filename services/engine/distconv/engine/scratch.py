"""The engine's scratch disk: where files of attempts lie, how much they may take, who has what."""

import errno
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from distconv.core.errors import DiskFullError, FailedPreconditionError, UnavailableError
from distconv.process.scratch import ProcessFolder

_log = structlog.get_logger()

# Of what the disk has free at the start; the rest is others'.
_DEFAULT_SHARE = 0.8


class Scratch:
    """Reserve scratch disk for attempts, and remove what they leave.

    The folder is this process's own: what a crash left is removed at the next
    start of an engine on the same `root`, and nothing of an engine that lives.
    """

    def __init__(self, root: Path, *, quota_bytes: int | None) -> None:
        """`quota_bytes` None: most of what the disk has free when it is opened."""
        self._root = root
        self._quota_bytes = quota_bytes
        self._folder = ProcessFolder(root)
        self._reserved: dict[str, int] = {}

    def open(self) -> None:
        """Make the folder and remove those of dead engines; blocks.

        Raises FailedPreconditionError when the folder cannot be used.
        """
        try:
            self._folder.open()
            if self._quota_bytes is None:
                self._quota_bytes = int(shutil.disk_usage(self._root).free * _DEFAULT_SHARE)
        except OSError as error:
            raise FailedPreconditionError(
                f"the scratch folder {self._root} cannot be used: {error.strerror}; choose "
                "another with scratch_dir"
            ) from error

    def close(self) -> None:
        """Remove the folder; blocks."""
        self._folder.close()

    @property
    def folder(self) -> Path:
        """Return the folder in which each attempt has one of its own."""
        return self._folder.path

    @property
    def quota_bytes(self) -> int:
        """Return how much all attempts together may take."""
        return self._quota_bytes or 0

    @property
    def free_bytes(self) -> int:
        """Return what is neither reserved nor taken by others, bytes."""
        try:
            disk = shutil.disk_usage(self._root).free
        except OSError as error:
            _log.warning("scratch_not_readable", error=error.strerror)
            disk = 0
        return max(0, min(self.quota_bytes - sum(self._reserved.values()), disk))

    def reserve(self, attempt: str, size_bytes: int) -> str:
        """Reserve room for an attempt; return why not, or nothing when it has it."""
        free = self.free_bytes
        if size_bytes > free:
            return (
                f"the attempt needs {size_bytes} bytes of scratch disk, and {free} of the "
                f"{self.quota_bytes} in {self._root} are free; raise scratch_quota_bytes, or "
                "make room on the disk"
            )
        if size_bytes:
            self._reserved[attempt] = size_bytes
        return ""

    def release(self, attempt: str) -> None:
        """Give back what an attempt reserved; harmless when repeated."""
        self._reserved.pop(attempt, None)

    def remove(self, attempt: str) -> None:
        """Remove what an attempt left, if its process could not; blocks."""
        folder = attempt_folder(self.folder, attempt)
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _log.info("scratch_removed", attempt=attempt)


def attempt_folder(folder: Path, attempt: str) -> Path:
    """Return the folder of the attempt of that resource name within the engine's."""
    # The name came over the network: it is nobody's to say where a folder lies.
    return folder / f"attempt-{hashlib.sha256(attempt.encode()).hexdigest()[:32]}"


@contextmanager
def scratch_errors(what: str) -> Iterator[None]:
    """Turn what the disk says into the tree's errors: DiskFullError, UnavailableError."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise DiskFullError(
                f"the engine's scratch disk has no room left for {what}; free some, or lower "
                "scratch_quota_bytes so that less is taken on"
            ) from error
        raise UnavailableError(
            f"{what} cannot be kept on the engine's scratch disk: {error.strerror}"
        ) from error


def is_full(error: OSError) -> bool:
    """Tell whether a disk, or a user's share of it, has no room left."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
