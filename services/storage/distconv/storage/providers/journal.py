"""The journal of a local staging: which ranges were written, and which became durable.

Data reaches the disk in batches (`fdatasync` costs a round trip to the disk),
but a process may die between two of them. What it had written is then still in
the kernel's page cache, safe from everything but a crash of the machine. So
each range is noted twice: WRITTEN right after its write, without waiting for
the disk, and DURABLE after a sync. Whoever opens the journal later under the
same boot of the machine trusts both, under another boot DURABLE alone.

A file is a header and records of 21 bytes, each with a CRC32C; what a crash
tore off at the end is ignored.
"""

import errno
import os
import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from pathlib import Path

import google_crc32c

from distconv.core.ranges import Range, RangeSet

_MAGIC = b"DCJ1"
_BODY = struct.Struct("<Bqq")  # kind, start, end
_CRC = struct.Struct("<I")
_RECORD_BYTES = _BODY.size + _CRC.size
_BOOT_ID_BYTES = 36
_HEADER_BYTES = len(_MAGIC) + _BOOT_ID_BYTES
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Kind(IntEnum):
    """What a record says of its range."""

    WRITTEN = 1
    DURABLE = 2
    LOST = 3  # no range: all that was written and not durable


def boot_id() -> bytes:
    """Return what tells this boot of the machine from others; empty when nothing does."""
    try:
        return _BOOT_ID.read_bytes().strip()[:_BOOT_ID_BYTES]
    except OSError:
        return b""


def encode(kind: Kind, ranges: Iterable[Range]) -> bytes:
    """Return the records of ranges."""
    parts: list[bytes] = []
    for start, end in ranges:
        body = _BODY.pack(kind, start, end)
        parts += (body, _CRC.pack(google_crc32c.value(body)))
    return b"".join(parts)


def header(boot: bytes) -> bytes:
    """Return the first bytes of a journal."""
    return _MAGIC + boot.ljust(_BOOT_ID_BYTES, b"-")


def replay(content: bytes, *, boot: bytes) -> RangeSet:
    """Return the ranges that can be trusted under this boot; none when it is no journal."""
    if not content.startswith(_MAGIC):
        return RangeSet()
    same_boot = bool(boot) and content.startswith(header(boot))
    written, durable = RangeSet(), RangeSet()
    for at in range(_HEADER_BYTES, len(content) - _RECORD_BYTES + 1, _RECORD_BYTES):
        body = content[at : at + _BODY.size]
        if _CRC.unpack_from(content, at + _BODY.size)[0] != google_crc32c.value(body):
            break
        kind, start, end = _BODY.unpack(body)
        if kind == Kind.WRITTEN:
            written.add(start, end)
        elif kind == Kind.DURABLE:
            durable.add(start, end)
        elif kind == Kind.LOST:
            written = RangeSet()
    if same_boot:
        durable.update(written)
    return durable


def append(fd: int, kind: Kind, ranges: Sequence[Range]) -> None:
    """Append records; `fd` is open with O_APPEND, so that appends of two threads do not mix."""
    content = encode(kind, ranges)
    if os.write(fd, content) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # a short write
