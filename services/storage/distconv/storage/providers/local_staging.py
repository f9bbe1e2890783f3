"""A staging on local disk: one sparse file, and a journal of what is in it."""

import os
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Self

from distconv.core.errors import DistconvError, UnimplementedError
from distconv.core.ranges import Range, RangeSet
from distconv.core.signed import SignedPut
from distconv.storage.providers import journal
from distconv.storage.providers.disk_errors import disk_errors
from distconv.storage.providers.journal import Kind
from distconv.storage.providers.ledger import Ledger
from distconv.storage.providers.local_files import link_whole, sync_folder, write_pieces
from distconv.storage.providers.local_reader import LocalReader
from distconv.storage.providers.port import Piece, Published, spans
from distconv.storage.providers.sections import OBJECTS, SCRATCH
from distconv.storage.threads import Threads

# 21 bytes a record, a few records a second: rewritten when it has grown past this.
_JOURNAL_LIMIT_BYTES = 4 * 1024 * 1024
_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
PART, JOURNAL = ".part", ".journal"


class LocalStaging:
    """Implement `Staging` with two files; made by `LocalProvider.stage`."""

    signs = False
    spoiled: Sequence[Range] = ()
    copies = False

    def __init__(self, *, key: str, base: Path, root: Path, threads: Threads) -> None:
        self._key = key
        self._part = base.with_name(base.name + PART)
        self._journal = base.with_name(base.name + JOURNAL)
        self._root = root
        self._threads = threads
        self._ledger = Ledger()
        self._fd = -1
        self._journal_fd = -1
        # A write and a sync run in two threads; a rewrite swaps the journal under them.
        self._journal_lock = threading.Lock()

    @property
    def written(self) -> RangeSet:
        """Return what was written."""
        return self._ledger.written

    @property
    def durable(self) -> RangeSet:
        """Return what no crash loses any more."""
        return self._ledger.durable

    @property
    def unsynced_bytes(self) -> int:
        """Return how much was written since the last sync began."""
        return self._ledger.unsynced_bytes

    async def open(self) -> Self:
        """Open both files, made when missing, and learn what is in them."""
        with disk_errors(self._key):
            self._ledger = Ledger(await self._threads.run(self._open))
        return self

    def _open(self) -> RangeSet:
        try:
            return self._open_files()
        except BaseException:
            self._close()
            raise

    def _open_files(self) -> RangeSet:
        self._fd = os.open(self._part, _OPEN, 0o600)
        boot = journal.boot_id()
        content = self._journal.read_bytes() if self._journal.exists() else b""
        found = journal.replay(content, boot=boot)
        size_bytes = os.fstat(self._fd).st_size
        known = RangeSet((start, min(end, size_bytes)) for start, end in found)
        # What the last process had only written counts from now on: make it durable.
        os.fsync(self._fd)
        self._write_journal(known, boot)
        return known

    def _write_journal(self, durable: RangeSet, boot: bytes) -> None:
        fresh = self._journal.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(fresh, flags, 0o600)
        try:
            os.write(fd, journal.header(boot))
            journal.append(fd, Kind.DURABLE, list(durable))
            os.fsync(fd)
            fresh.replace(self._journal)
            sync_folder(self._journal.parent)
        except BaseException:
            os.close(fd)
            raise
        with self._journal_lock:
            old, self._journal_fd = self._journal_fd, fd
            if old >= 0:
                os.close(old)

    async def write(self, pieces: Sequence[Piece]) -> None:
        """Write pieces; one hop off the loop for all of them."""
        with disk_errors(self._key):
            await self._threads.run(self._write, pieces)
        self._ledger.note_written(pieces)

    def _write(self, pieces: Sequence[Piece]) -> None:
        write_pieces(self._fd, pieces)
        self._note(Kind.WRITTEN, spans(pieces))

    def _note(self, kind: Kind, ranges: Sequence[Range]) -> None:
        with self._journal_lock:
            journal.append(self._journal_fd, kind, ranges)

    async def sync(self) -> None:
        """Make what was written durable, then note it durably."""
        ranges = self._ledger.begin_sync()
        if not ranges:
            return
        try:
            with disk_errors(self._key):
                await self._threads.run(self._sync, ranges)
        except DistconvError:
            self._ledger.lose()
            raise
        self._ledger.note_durable(ranges)
        await self._keep_journal_short()

    async def _keep_journal_short(self) -> None:
        if os.fstat(self._journal_fd).st_size > _JOURNAL_LIMIT_BYTES:
            with disk_errors(self._key):
                await self._threads.run(
                    self._write_journal, self._ledger.durable.copy(), journal.boot_id()
                )

    def _sync(self, ranges: Sequence[Range]) -> None:
        try:
            os.fdatasync(self._fd)
        except OSError:
            self._note(Kind.LOST, [(0, 0)])
            raise
        self._note(Kind.DURABLE, ranges)
        os.fdatasync(self._journal_fd)

    async def read(self, offset: int, length: int) -> bytes:
        """Return bytes that were written."""
        with disk_errors(self._key):
            return await self._threads.run(os.pread, self._fd, length, offset)

    async def reader(self) -> LocalReader:
        """Read the file by a descriptor of its own."""
        with disk_errors(self._key):
            return LocalReader(os.dup(self._fd), self._key, self._threads)

    async def refresh(self) -> None:
        """Do nothing: the folder is one process's alone."""

    async def sign(self, start: int, end: int, ttl: timedelta) -> SignedPut:  # noqa: ARG002
        """Refuse: a disk has no URLs."""
        raise UnimplementedError("this storage lies on a disk, which has no URLs: use Write")

    async def confirm(self, start: int, end: int) -> None:  # noqa: ARG002  # the port's signature
        """Refuse: nobody was given a URL."""
        raise UnimplementedError("this storage lies on a disk, which has no URLs: use Write")

    async def path(self, folder: Path, *, sha256: str) -> Path:  # noqa: ARG002  # the port's
        """Return the file itself."""
        return self._part

    async def publish(self, key: str, size_bytes: int) -> Published:
        """Give the file its second, final name."""
        with disk_errors(key):
            await self._threads.run(self._publish, self._root / OBJECTS / key, size_bytes)
        return Published()

    def _publish(self, target: Path, size_bytes: int) -> None:
        os.ftruncate(self._fd, size_bytes)
        os.fsync(self._fd)
        link_whole(self._root / SCRATCH, self._part, target)

    async def discard(self) -> None:
        """Delete both files."""
        with disk_errors(self._key):
            await self._threads.run(self._discard)

    def _discard(self) -> None:
        self._close()
        self._part.unlink(missing_ok=True)
        self._journal.unlink(missing_ok=True)

    async def close(self) -> None:
        """Close both files."""
        await self._threads.run(self._close)

    def _close(self) -> None:
        for fd in (self._fd, self._journal_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._journal_fd = -1
