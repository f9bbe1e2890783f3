"""The provider port: what storage needs of the place where bytes lie.

Keys are `tenant/kind/id`, built from checked ids only (`names.Place`), never
from a user's text. Errors are the tree's: DiskFullError when there is no room,
UnavailableError when the disk or service is out of order or read-only.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from distconv.core.ranges import Range, RangeSet
from distconv.core.signed import SignedPut
from distconv.storage.blocks import Blocks

Piece = tuple[int, bytes]
"""Bytes and where they lie: (offset, data)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """A stored thing; `modified_time` is when it was last written."""

    key: str
    size_bytes: int
    modified_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a provider learned of a content while it published it.

    `sha256` is the digest of the bytes that went in, None where none passed
    through this process (a file that got its final name); so for `blocks`,
    the checksums of its blocks.
    """

    sha256: str | None = None
    blocks: Blocks | None = None


class Reader(Protocol):
    """Read ranges of one stored thing.

    Deleted meanwhile it stays readable on a disk; an object store says
    NotFoundError from then on. What is read never changes.
    """

    @property
    def size_bytes(self) -> int:
        """Return how many bytes there are."""
        ...

    async def read(self, offset: int, length: int, *, piece_bytes: int) -> list[bytes]:
        """Return the bytes of one range cut into pieces of `piece_bytes`, the last one shorter.

        Fewer than `length` bytes come back only at the end.
        """
        ...

    async def close(self) -> None:
        """Let go; harmless when repeated."""
        ...


class Staging(Protocol):
    """Bytes that gather, in any order, until they are published as one thing.

    A staging outlives the process: `Provider.stage` with the same key finds
    what arrived. Writes to one staging are made one at a time; a sync may run
    beside a write.
    """

    @property
    def written(self) -> RangeSet:
        """Return what was written; a crash of the machine may still lose it."""
        ...

    @property
    def durable(self) -> RangeSet:
        """Return what no crash loses any more."""
        ...

    @property
    def unsynced_bytes(self) -> int:
        """Return how much was written since the last sync began."""
        ...

    async def write(self, pieces: Sequence[Piece]) -> None:
        """Write pieces; what it raises, none of them counts as written."""
        ...

    async def sync(self) -> None:
        """Make everything that was written before this call durable.

        After an error all that was not durable counts as lost: `written` is
        `durable` again.
        """
        ...

    async def refresh(self) -> None:
        """Learn what other processes have added where the place is shared.

        It counts as written and durable from then on.
        """
        ...

    @property
    def spoiled(self) -> Sequence[Range]:
        """Return what was counted as arrived and is known to have changed its length since.

        What others may put past this process they may put again.
        """
        ...

    @property
    def signs(self) -> bool:
        """Say whether others may put segments of it past this process (`sign`, `confirm`)."""
        ...

    async def sign(self, start: int, end: int, ttl: timedelta) -> SignedPut:
        """Make a URL at which the bytes `[start, end)` can be put.

        Raises UnimplementedError where there are none.
        """
        ...

    async def confirm(self, start: int, end: int) -> None:
        """Count the bytes `[start, end)`, which were put at a URL, as written and durable.

        Raises DataLossError when they are not there, or are not so many: they
        are removed then. Raises UnimplementedError where there are no URLs.
        """
        ...

    async def read(self, offset: int, length: int) -> bytes:
        """Return bytes that were written, fewer only at the end.

        Raises NotFoundError when another process has freed them.
        """
        ...

    async def reader(self) -> Reader:
        """Open what was written for reading; its `size_bytes` is that of the moment.

        It stays readable even when the staging is published or discarded meanwhile.
        """
        ...

    @property
    def copies(self) -> bool:
        """Say whether `path` makes a file, and compares its digest."""
        ...

    async def path(self, folder: Path, *, sha256: str) -> Path:
        """Return a file of the bytes, for tools that need one; made in `folder` if there is none.

        One that is made holds bytes of that digest: raises UnavailableError
        when others came back, and another try may succeed.

        Nobody may write to it, and it is gone with the staging or the folder.
        """
        ...

    async def publish(self, key: str, size_bytes: int) -> Published:
        """Make the first `size_bytes` bytes the content of `key`, durably and at once.

        Raises NotFoundError when another process has freed them.

        May be repeated, and the staging remains until it is discarded: so a
        crash between this and the note that it happened costs nothing.
        """
        ...

    async def discard(self) -> None:
        """Free the bytes; harmless when repeated."""
        ...

    async def close(self) -> None:
        """Let go and keep the bytes for another process; harmless when repeated."""
        ...


class Provider(Protocol):
    """A place for bytes."""

    @property
    def shared(self) -> bool:
        """Say whether other processes use the place too, at the same time."""
        ...

    async def start(self) -> None:
        """Get ready. Raises UnavailableError when the place cannot be used."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...

    async def free_bytes(self, key: str = "") -> int | None:
        """Return the room that is left where `key` lies; None where nobody tells."""
        ...

    async def get(self, key: str) -> bytes:
        """Return a small thing whole. Raises NotFoundError."""
        ...

    async def put(self, key: str, data: bytes) -> None:
        """Store a small thing, whole and durably, in place of what was there."""
        ...

    async def create(self, key: str, data: bytes) -> None:
        """Store a small thing, whole and durably, unless the key is taken: of several one wins.

        Raises AlreadyExistsError; after another error it may have been stored.
        """
        ...

    async def stat(self, key: str) -> Stat:
        """Describe a thing. Raises NotFoundError."""
        ...

    async def keys(self, prefix: str = "", *, skip_away: bool = False) -> Sequence[str]:
        """Return the keys under `prefix` (empty, or ending in `/`), sorted.

        With `skip_away` those of a pool beside the main one that is away are left out, and the
        log says so: for whoever can do with what there is.
        """
        ...

    async def open(self, key: str) -> Reader:
        """Open a thing for reading. Raises NotFoundError."""
        ...

    async def delete(self, key: str) -> None:
        """Delete a thing; a missing one is deleted."""
        ...

    async def copy(self, source: str, target: str) -> None:
        """Copy a thing, whole and durably. Raises NotFoundError."""
        ...

    async def url(self, key: str, ttl: timedelta) -> str:
        """Make a URL that fetches the thing. Raises UnimplementedError where there are none."""
        ...

    def file_path(self, key: str) -> str:
        """Return where a thing lies as a file in the provider's folder, relative to that.

        Raises UnimplementedError where things are no files.
        """
        ...

    async def stage(self, key: str) -> Staging:
        """Open the staging of that key, empty when there is none yet."""
        ...

    async def stagings(self, *, skip_away: bool = False) -> Sequence[Stat]:
        """Describe every staging; `size_bytes` is what it occupies at most.

        For `skip_away` see `keys`.
        """
        ...

    async def discard_staging(self, key: str) -> None:
        """Free a staging that nobody has open; a missing one is freed."""
        ...

    def scratch(self) -> AbstractAsyncContextManager[Path]:
        """Give a folder of one's own that is emptied afterwards; `adopt` takes files from it."""
        ...

    async def adopt(self, file: Path, key: str) -> Published:
        """Make a file of a scratch folder the content of `key`, durably and at once.

        The folder may be another provider's.
        """
        ...


def total(pieces: Sequence[Piece]) -> int:
    """Return how many bytes the pieces have."""
    return sum(len(data) for _, data in pieces)


def spans(pieces: Sequence[Piece]) -> list[Range]:
    """Return the merged ranges of pieces."""
    return list(RangeSet((offset, offset + len(data)) for offset, data in pieces))
