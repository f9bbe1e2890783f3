"""The folder that one daemon owns while it runs."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distconv.core.errors import FailedPreconditionError, UnavailableError


@contextmanager
def owned(path: Path, kind: str) -> Iterator[None]:
    """Make the folder and own it while the block lasts; no other `kind` ("engine", say) may.

    Raises FailedPreconditionError when another process owns it, UnavailableError
    when it cannot be made or written. A killed process leaves no lock behind.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path / f"{kind}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        _take(descriptor, path, kind)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, kind: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        raise FailedPreconditionError(
            f"another {kind} (process {owner}) runs on the data folder {path}; stop it, or "
            "choose another with --data-dir"
        ) from None
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"the data folder {path} cannot be used ({error.strerror}); choose another with --data-dir"
    )
