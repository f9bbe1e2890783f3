"""A data folder for an embedded system that lives as long as one command."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "distconv-embedded-"


def _home() -> Path:
    """Return where it lies: media are too large for a /tmp that lives in memory."""
    large = Path("/var/tmp")  # noqa: S108  # mkdtemp makes a folder that is ours alone
    if "TMPDIR" not in os.environ and os.access(large, os.W_OK | os.X_OK):
        return large
    return Path(tempfile.gettempdir())


@contextmanager
def ephemeral_data_dir() -> Iterator[Path]:
    """Make a folder, and remove it at the end with everything in it.

    Folders that killed commands left behind are removed too.
    """
    _sweep(_home())
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_home()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(home: Path) -> None:
    for folder in home.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.stat().st_uid == os.getuid() and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    """Tell whether nobody holds the folder's lock; one without a lock is just being made."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
