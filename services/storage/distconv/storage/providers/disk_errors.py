"""What the operating system says of a disk, as errors of the tree."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from distconv.core.errors import (
    DiskFullError,
    DistconvError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)

_log = structlog.get_logger()


@contextmanager
def disk_errors(key: str, *, reading: bool = False) -> Iterator[None]:
    """Turn an OSError into the tree's error; `key` says of what. Paths go to the log alone.

    A missing file is NotFoundError only when `reading`; for a writer its
    folder has vanished.
    """
    try:
        yield
    except OSError as error:
        if reading and isinstance(error, FileNotFoundError):
            raise NotFoundError(f"{key} does not exist at storage") from error
        _log.error("disk_failed", key=key, path=str(error.filename), error=str(error))
        raise _translate(error, key) from error


def _translate(error: OSError, key: str) -> DistconvError:
    metadata = {"key": key}
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(
            f"the storage disk is full: {key} cannot be written; free space there and try again",
            metadata=metadata,
        )
    if error.errno == errno.EFBIG:
        return DiskFullError(
            f"{key} is larger than the storage disk or the process may hold in one file; "
            "raise the limit (ulimit -f) or store on another file system",
            metadata=metadata,
        )
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return ResourceExhaustedError(
            "storage has too many files open; try again, or raise its limit (ulimit -n)",
            metadata=metadata,
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return UnavailableError(
            f"the storage disk does not let {key} be written or read ({error.strerror}); "
            "see that it is mounted read-write and belongs to the storage process",
            metadata=metadata,
        )
    return UnavailableError(
        f"the storage disk failed at {key} ({error.strerror}); see that it is mounted and sound",
        metadata=metadata,
    )
