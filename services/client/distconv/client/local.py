"""What can be said of a source and an output before anything is sent: files and folders."""

import os
import shutil
import stat
import unicodedata
from pathlib import Path

from distconv.core.errors import (
    AlreadyExistsError,
    CorruptSourceError,
    DiskFullError,
    FailedPreconditionError,
    InvalidArgumentError,
    PermissionDeniedError,
)

# No video is smaller, and a disk with less left is full for every purpose.
_LEAST_ROOM_BYTES = 64 * 1024
_MAX_NAME_CHARACTERS = 255


class SourceChangedError(FailedPreconditionError):
    """A source was written to while it was sent."""


class OutputDeniedError(PermissionDeniedError):
    """This machine lets no output be written there; no server has refused anything."""


def sendable_name(name: str) -> str:
    """Return a file's name as text that every server takes; the file itself may be named anything.

    What is no UTF-8, a control character or a separator elsewhere is replaced;
    of a name that is too long the end stays. Unicode is brought to its form NFC,
    which most systems write; macOS does not.
    """
    text = unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "replace"))
    shown = "".join("_" if ord(c) < 32 or c in "\x7f\\/" else c for c in text)
    return shown[-_MAX_NAME_CHARACTERS:]


def check_source(path: Path) -> int:
    """Return the size of a readable, regular, not empty file, bytes.

    Raises InvalidArgumentError (field `source`) or CorruptSourceError (empty).
    """
    try:
        found = path.stat()
    except OSError as error:
        raise InvalidArgumentError(f"the input '{path}' {_why(error)}", field="source") from error
    if stat.S_ISDIR(found.st_mode):
        raise InvalidArgumentError(
            f"the input '{path}' is a folder; name a video file", field="source"
        )
    if not stat.S_ISREG(found.st_mode):
        raise InvalidArgumentError(
            f"the input '{path}' is not a regular file; write it to one first", field="source"
        )
    if not os.access(path, os.R_OK):
        raise InvalidArgumentError(
            f"the input '{path}' cannot be read: permission denied", field="source"
        )
    if found.st_size == 0:
        raise CorruptSourceError(f"the input '{path}' is empty (0 bytes); there is no video in it")
    return found.st_size


def check_output(path: Path, *, overwrite: bool, source: Path | None = None) -> None:
    """Check that a file could be written at `path`, and that it is not the source itself.

    Raises AlreadyExistsError (unless `overwrite`), InvalidArgumentError (field
    `output`; an output that is its source is refused even with `overwrite`),
    OutputDeniedError and DiskFullError.
    """
    folder = path.parent
    if source is not None and path.exists() and path.samefile(source):
        raise InvalidArgumentError(
            f"the output '{path}' is the input itself, and an original is never replaced; "
            "choose another name",
            field="output",
        )
    if not folder.is_dir():
        raise InvalidArgumentError(
            f"the output's folder '{folder}' does not exist; make it first", field="output"
        )
    if path.is_dir():
        raise InvalidArgumentError(f"the output '{path}' is a folder", field="output")
    if os.path.lexists(path):
        if not path.is_file():
            raise InvalidArgumentError(
                f"the output '{path}' exists and is not a regular file", field="output"
            )
        if not overwrite:
            raise AlreadyExistsError(
                f"the output '{path}' exists; pass --overwrite to replace it, or choose another",
                metadata={"path": str(path)},
            )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputDeniedError(
            f"cannot write into the output's folder '{folder}': permission denied"
        )
    free = _free_bytes(folder)
    if free is not None and free < _LEAST_ROOM_BYTES:
        raise disk_full(f"the output '{path}'", folder, free_bytes=free)


def check_room(folder: Path, size_bytes: int, *, what: str) -> None:
    """Raise DiskFullError when `folder`'s disk has less than `size_bytes` free."""
    free = _free_bytes(folder)
    if free is not None and free < size_bytes:
        raise disk_full(what, folder, free_bytes=free, needed_bytes=size_bytes)


def with_need(error: DiskFullError, what: str, folder: Path, size_bytes: int) -> DiskFullError:
    """Return the error of a disk that was full for every purpose, now that the need is known.

    Any other is returned as it is.
    """
    free = error.metadata.get("free_bytes")
    if free is None or "needed_bytes" in error.metadata:
        return error
    return disk_full(what, folder, free_bytes=int(free), needed_bytes=size_bytes)


def disk_full(
    what: str, folder: Path, *, free_bytes: int | None = None, needed_bytes: int | None = None
) -> DiskFullError:
    """Make the error that says that there is no room for `what`."""
    metadata, room = {}, ""
    if free_bytes is not None:
        metadata["free_bytes"] = str(free_bytes)
        room = f" ({free_bytes:,} bytes free)"
        if needed_bytes is not None:
            metadata["needed_bytes"] = str(needed_bytes)
            room = f" ({free_bytes:,} bytes free, {needed_bytes:,} needed)"
    return DiskFullError(
        f"no room for {what}: the disk of '{folder}' is full{room}; free some, or choose another",
        metadata=metadata,
    )


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None  # what cannot be measured is found out by writing


def _why(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, PermissionError):
        return "cannot be read: permission denied"
    if isinstance(error, NotADirectoryError):
        return "does not exist: a part of its path is not a folder"
    return f"cannot be read: {error.strerror or error}"
