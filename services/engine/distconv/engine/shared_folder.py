"""Read a source directly from a folder that storage and engine both see, once that is proved.

The engine asks storage where the object lies in its folder, and for digests of
ranges that the engine has chosen at random. Only a file of that size with those
digests is read in place of storage: a mount of another disk, a stale copy or a
folder of the same name proves nothing.
"""

import asyncio
import hashlib
import os
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath

from distconv.core.errors import DataLossError, UnavailableError
from distconv.engine.storage_link import StorageLink
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb

# A megabyte in places that nobody could foresee, both ends among them: another file of the same
# size does not pass. One that is damaged somewhere may; what is read is counted, and where it is
# fed in its own order digested, as if it came from storage.
_RANGE_COUNT = 16
_RANGE_BYTES = 64 * 1024

Proof = tuple[tuple[int, int], str]
"""A range, (offset, length), and the SHA-256 of its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A file that was proved to be the object, open for reading."""

    path: Path
    fd: int
    size_bytes: int
    sha256: str


class SharedSource:
    """A source that is read from the folder; as a `Source` of the runner."""

    waited = timedelta(0)

    def __init__(self, located: Located) -> None:
        self._located = located
        self._fd = located.fd
        self.size_bytes = located.size_bytes
        self.path: Path | None = located.path

    async def read(self, offset: int, length: int) -> bytes:
        """Return the bytes of one range. Raises UnavailableError when the folder is away."""
        try:
            return await asyncio.to_thread(_read, self._fd, offset, length)
        except OSError as error:
            raise UnavailableError(
                f"{self.path} in the shared folder cannot be read: {error.strerror}"
            ) from error

    async def settle(self) -> str:
        """Return the SHA-256 that storage committed."""
        return self._located.sha256

    async def close(self) -> None:
        """Let the file go; harmless when repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


async def find_shared(link: StorageLink, size_bytes: int, folders: Sequence[Path]) -> SharedSource:
    """Return the link's object as it lies in one of `folders`.

    Raises DataLossError when none was proved to hold it, and the tree's
    errors when storage does not say where it lies: FailedPreconditionError
    while it is uploaded, UnimplementedError where objects are no files.
    """
    ranges = random_ranges(size_bytes)
    request = pb.LocateObjectRequest(
        name=link.grant.object_name,
        ranges=[object_pb2.ByteRange(offset=o, length=n) for o, n in ranges],
    )
    answer = await link.unary(lambda: link.stub.LocateObject(request, metadata=link.metadata))
    if len(answer.range_sha256) != len(ranges) or not is_below(answer.path):
        raise DataLossError("storage's answer on where the object lies makes no sense")
    why = []
    for folder in folders:
        try:
            fd = await asyncio.to_thread(
                prove,
                folder / answer.path,
                answer.object.size_bytes,
                list(zip(ranges, answer.range_sha256, strict=True)),
            )
        except (OSError, DataLossError) as error:
            why.append(f"{folder}: {_words(error)}")
            continue
        return SharedSource(
            Located(
                path=folder / answer.path,
                fd=fd,
                size_bytes=answer.object.size_bytes,
                sha256=answer.object.sha256,
            )
        )
    raise DataLossError(
        "no shared folder was proved to hold what storage holds ("
        + "; ".join(why)
        + "): media comes from storage; name storage's own folder in shared_folders, or none"
    )


def random_ranges(size_bytes: int) -> list[tuple[int, int]]:
    """Choose ranges that prove a file of that size: (offset, length), its ends among them."""
    length = min(_RANGE_BYTES, size_bytes)
    if not length:
        return []
    last = size_bytes - length
    chosen = {0, last, *(secrets.randbelow(last + 1) for _ in range(_RANGE_COUNT - 2))}
    return [(offset, length) for offset in sorted(chosen)]


def is_below(path: str) -> bool:
    """Tell whether a path that came over the network stays below the folder it is put to."""
    parts = PurePosixPath(path).parts
    return bool(parts) and "\0" not in path and not {"..", "/"} & set(parts) and path[0] != "/"


def prove(path: Path, size_bytes: int, proofs: Sequence[Proof]) -> int:
    """Return an open file that is as storage says; blocks. Raises OSError, DataLossError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        _require_same(fd, size_bytes, proofs)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _require_same(fd: int, size_bytes: int, proofs: Sequence[Proof]) -> None:
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise DataLossError("what lies there is no file")
    if found.st_size != size_bytes:
        raise DataLossError(f"the file has {found.st_size} bytes, the object {size_bytes}")
    for (offset, length), sha256 in proofs:
        if hashlib.sha256(_read(fd, offset, length)).hexdigest() != sha256:
            raise DataLossError(f"the file holds other bytes at {offset}")


def _read(fd: int, offset: int, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length and (piece := os.pread(fd, length - len(parts), offset + len(parts))):
        parts += piece
    return bytes(parts)


def _words(error: OSError | DataLossError) -> str:
    return error.message if isinstance(error, DataLossError) else str(error.strerror)
