"""Small durable steps on a local file system; every function here blocks."""

import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from distconv.storage.providers.port import Piece


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def sync_file(path: Path) -> None:
    """Make a file's content durable."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def place(file: Path, target: Path) -> None:
    """Give a durable file its final name, at once and durably, in place of what was there."""
    make_folder(target.parent)
    file.replace(target)
    sync_folder(target.parent)


def write_whole(scratch: Path, target: Path, data: bytes) -> None:
    """Write a small file, whole and durably; nothing half-written ever has its name."""
    temporary = scratch / f"put-{secrets.token_hex(8)}"
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        place(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def copy_whole(scratch: Path, source: Path, target: Path) -> None:
    """Copy a file, whole and durably; inside the kernel where it can."""
    temporary = scratch / f"copy-{secrets.token_hex(8)}"
    try:
        shutil.copyfile(source, temporary)
        sync_file(temporary)
        place(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def link_whole(scratch: Path, source: Path, target: Path) -> None:
    """Give a durable file a second name in place of what had it; a copy where links are unknown."""
    temporary = scratch / f"link-{secrets.token_hex(8)}"
    try:
        os.link(source, temporary)
    except FileNotFoundError:
        raise
    except OSError:  # FAT and some network file systems have no hard links
        copy_whole(scratch, source, target)
        return
    try:
        place(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_pieces(fd: int, pieces: Sequence[Piece]) -> None:
    """Write pieces at their offsets."""
    for offset, data in pieces:
        done = os.pwrite(fd, data, offset)
        while done < len(data):  # a signal or a full disk cut it short; the next try says which
            done += os.pwrite(fd, memoryview(data)[done:], offset + done)


def read_pieces(fd: int, offset: int, length: int, piece_bytes: int) -> list[bytes]:
    """Read a range as pieces, fewer only at the end of the file."""
    pieces = []
    end = offset + length
    while offset < end and (piece := os.pread(fd, min(piece_bytes, end - offset), offset)):
        pieces.append(piece)
        offset += len(piece)
    return pieces
