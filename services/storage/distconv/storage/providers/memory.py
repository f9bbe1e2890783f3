"""Memory: a provider for tests, with a switch for a full disk."""

import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

from distconv.core.clock import Clock, SystemClock
from distconv.core.errors import (
    AlreadyExistsError,
    DataLossError,
    DiskFullError,
    NotFoundError,
    UnimplementedError,
)
from distconv.core.ranges import Range, RangeSet
from distconv.core.signed import SignedPut
from distconv.storage.providers.ledger import Ledger
from distconv.storage.providers.port import Piece, Published, Stat, total


class MemoryReader:
    """Implement `Reader` over bytes."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data
        self.size_bytes = len(data)

    async def read(self, offset: int, length: int, *, piece_bytes: int) -> list[bytes]:
        """Cut a range into pieces."""
        end = min(offset + length, len(self._data))
        return [
            bytes(self._data[at : min(at + piece_bytes, end)])
            for at in range(offset, end, piece_bytes)
        ]

    async def close(self) -> None:
        """Do nothing."""


class MemoryStaging:
    """Implement `Staging` in memory; survives `close`, as on disk."""

    copies = False
    spoiled: Sequence[Range] = ()

    def __init__(self, provider: "MemoryProvider", key: str) -> None:
        self._provider = provider
        self._key = key
        self._data = bytearray()
        self._ledger = Ledger()
        self.modified_time = provider.clock.now()

    @property
    def written(self) -> RangeSet:
        """Return what was written."""
        return self._ledger.written

    @property
    def durable(self) -> RangeSet:
        """Return what was synced."""
        return self._ledger.durable

    @property
    def unsynced_bytes(self) -> int:
        """Return how much was written since the last sync began."""
        return self._ledger.unsynced_bytes

    async def write(self, pieces: Sequence[Piece]) -> None:
        """Keep pieces."""
        self._provider.take(self._key, total(pieces))
        for offset, data in pieces:
            missing = offset + len(data) - len(self._data)
            self._data += bytes(max(0, missing))
            self._data[offset : offset + len(data)] = data
        self._ledger.note_written(pieces)
        self.modified_time = self._provider.clock.now()

    async def sync(self) -> None:
        """Call what was written durable."""
        ranges = self._ledger.begin_sync()
        if self._provider.fails_to_sync:
            self._ledger.lose()
            raise DiskFullError(f"{self._key} cannot be written")
        self._ledger.note_durable(ranges)

    async def read(self, offset: int, length: int) -> bytes:
        """Return bytes that were written."""
        return bytes(self._data[offset : offset + length])

    async def reader(self) -> MemoryReader:
        """Read what gathers."""
        return MemoryReader(self._data)

    async def refresh(self) -> None:
        """Do nothing: everybody sees the same staging."""

    @property
    def signs(self) -> bool:
        """Say whether the provider was made to."""
        return self._provider.signs

    async def sign(self, start: int, end: int, ttl: timedelta) -> SignedPut:  # noqa: ARG002
        """Name the place of the bytes in `MemoryProvider.received`."""
        if not self.signs:
            raise UnimplementedError("this storage lies in memory, which has no URLs: use Write")
        return SignedPut(url=f"memory://{self._key}/{start}-{end}")

    async def confirm(self, start: int, end: int) -> None:
        """Take the bytes that were put there."""
        url = (await self.sign(start, end, timedelta())).url
        data = self._provider.received.get(url)
        if data is None or len(data) != end - start:
            self._provider.received.pop(url, None)
            raise DataLossError(f"bytes {start} to {end - 1} are not there: put them again")
        await self.write([(start, data)])
        await self.sync()

    async def path(self, folder: Path, *, sha256: str) -> Path:  # noqa: ARG002  # the port's
        """Write the bytes to a file."""
        path = folder / f"staging-{secrets.token_hex(8)}"
        path.write_bytes(self._data)
        return path

    async def publish(self, key: str, size_bytes: int) -> Published:
        """Copy the bytes."""
        if self._provider.staged(self._key) is not self:
            raise NotFoundError(f"{self._key} does not exist at storage")
        await self._provider.put(key, bytes(self._data[:size_bytes]))
        return Published()

    async def discard(self) -> None:
        """Forget the bytes."""
        await self._provider.discard_staging(self._key)

    async def close(self) -> None:
        """Do nothing."""


class MemoryProvider:
    """Implement `Provider` in memory; `room_bytes` bounds what may be written, None does not.

    `folder` takes the files that tools need. `shared` lets several services of
    one process use it as several processes use a bucket; `signs` lets bytes be
    put past the services, into `received` by their URL.
    """

    def __init__(
        self,
        folder: Path,
        *,
        room_bytes: int | None = None,
        clock: Clock | None = None,
        shared: bool = False,
        signs: bool = False,
    ) -> None:
        self.folder = folder
        self.shared = shared
        self.signs = signs
        self.received: dict[str, bytes] = {}  # what was put at URLs of segments
        self.clock = clock or SystemClock()
        self.room_bytes = room_bytes
        self.fails_to_sync = False
        self._data: dict[str, bytes] = {}
        self._times: dict[str, datetime] = {}
        self._stagings: dict[str, MemoryStaging] = {}

    def take(self, key: str, size_bytes: int) -> None:
        """Use up room. Raises DiskFullError when there is not enough."""
        if self.room_bytes is None:
            return
        if size_bytes > self.room_bytes:
            raise DiskFullError(f"the storage disk is full: {key} cannot be written")
        self.room_bytes -= size_bytes

    async def start(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

    async def free_bytes(self, key: str = "") -> int | None:  # noqa: ARG002  # the port's
        """Return the room that is left."""
        return self.room_bytes

    async def get(self, key: str) -> bytes:
        """Return a thing whole."""
        try:
            return self._data[key]
        except KeyError:
            raise NotFoundError(f"{key} does not exist at storage") from None

    async def put(self, key: str, data: bytes) -> None:
        """Keep a thing."""
        self.take(key, len(data))
        self._data[key] = bytes(data)
        self._times[key] = self.clock.now()

    async def create(self, key: str, data: bytes) -> None:
        """Keep a thing unless there is one."""
        if key in self._data:
            raise AlreadyExistsError(f"{key} is at storage already")
        await self.put(key, data)

    async def stat(self, key: str) -> Stat:
        """Describe a thing."""
        size_bytes = len(await self.get(key))
        return Stat(key=key, size_bytes=size_bytes, modified_time=self._times[key])

    async def keys(
        self,
        prefix: str = "",
        *,
        skip_away: bool = False,  # noqa: ARG002  # the port's
    ) -> Sequence[str]:
        """Return the keys under a prefix, sorted."""
        return sorted(key for key in self._data if key.startswith(prefix))

    async def open(self, key: str) -> MemoryReader:
        """Open a thing."""
        return MemoryReader(await self.get(key))

    async def delete(self, key: str) -> None:
        """Forget a thing."""
        self._data.pop(key, None)

    async def copy(self, source: str, target: str) -> None:
        """Copy a thing."""
        await self.put(target, await self.get(source))

    async def url(self, key: str, ttl: timedelta) -> str:  # noqa: ARG002  # the port's signature
        """Refuse: memory has no URLs."""
        raise UnimplementedError("this storage lies in memory, which has no URLs: use Read")

    def file_path(self, key: str) -> str:  # noqa: ARG002  # the port's signature
        """Refuse: nothing here is a file."""
        raise UnimplementedError("objects are no files at this storage: use Read")

    async def stage(self, key: str) -> MemoryStaging:
        """Open a staging."""
        return self._stagings.setdefault(key, MemoryStaging(self, key))

    def staged(self, key: str) -> MemoryStaging | None:
        """Return the staging of that key, None when it was discarded."""
        return self._stagings.get(key)

    async def stagings(self, *, skip_away: bool = False) -> Sequence[Stat]:  # noqa: ARG002  # the port's
        """Describe every staging."""
        return [
            Stat(key=key, size_bytes=staging.written.end, modified_time=staging.modified_time)
            for key, staging in sorted(self._stagings.items())
        ]

    async def discard_staging(self, key: str) -> None:
        """Forget a staging."""
        self._stagings.pop(key, None)

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[Path]:
        """Give a folder."""
        folder = Path(mkdtemp(dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def adopt(self, file: Path, key: str) -> Published:
        """Read a file in."""
        await self.put(key, file.read_bytes())  # noqa: ASYNC240  # a fake for tests
        file.unlink()  # noqa: ASYNC240
        return Published()
