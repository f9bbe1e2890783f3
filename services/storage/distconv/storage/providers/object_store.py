"""Object stores: S3 and what speaks it, Google Cloud Storage, Azure Blob Storage, by obstore.

    PREFIX/storage-id, pools/    with several pools: which belong together (`object_site`)
    PREFIX/objects/KEY           what is stored, each object whole
    PREFIX/staging/KEY/RANGE     segments of uploads under way

Any number of processes use one prefix. What has to happen at once is one
conditional put (`create`); nothing is locked, and nothing here lies on disk but
the files that tools need, in a scratch folder of the process.
"""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from distconv.core.clock import Clock, SystemClock
from distconv.core.errors import UnimplementedError
from distconv.process.scratch import ProcessFolder
from distconv.storage.providers.disk_errors import disk_errors
from distconv.storage.providers.object_bucket import Bucket, Found
from distconv.storage.providers.object_content import file_parts, publish
from distconv.storage.providers.object_staging import ObjectStaging, cut, discard
from distconv.storage.providers.port import Published, Stat
from distconv.storage.providers.sections import OBJECTS, STAGING
from distconv.storage.threads import Threads

_OBJECTS = f"{OBJECTS}/"
_STAGING = f"{STAGING}/"


class ObjectReader:
    """Implement `Reader` by ranged requests."""

    def __init__(self, bucket: Bucket, key: str, size_bytes: int) -> None:
        self._bucket = bucket
        self._key = key
        self.size_bytes = size_bytes

    async def read(self, offset: int, length: int, *, piece_bytes: int) -> list[bytes]:
        """Fetch a range in one request."""
        end = min(offset + length, self.size_bytes)
        if offset >= end:
            return []
        data = await self._bucket.get_range(_OBJECTS + self._key, offset, end, key=self._key)
        return cut(data, piece_bytes)

    async def close(self) -> None:
        """Do nothing: nothing is held."""


class ObjectStoreProvider:
    """Implement `Provider` on a bucket."""

    shared = True

    def __init__(
        self, bucket: Bucket, scratch: Path, threads: Threads, clock: Clock | None = None
    ) -> None:
        self._bucket = bucket
        self._scratch = ProcessFolder(scratch)
        self._threads = threads
        self._clock = clock or SystemClock()

    async def start(self) -> None:
        """Take a scratch folder, and try the bucket out."""
        with disk_errors("the scratch folder"):
            await self._threads.run(self._scratch.open)
        try:
            await self._bucket.check(f"check/{secrets.token_hex(8)}")
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Remove the scratch folder."""
        await self._threads.run(self._scratch.close)

    async def free_bytes(self, key: str = "") -> int | None:  # noqa: ARG002  # the port's
        """Return None: an object store does not tell."""
        return None

    async def get(self, key: str) -> bytes:
        """Return a small object whole."""
        return await self._bucket.get(_OBJECTS + key, key=key)

    async def put(self, key: str, data: bytes) -> None:
        """Store a small object."""
        await self._bucket.put(_OBJECTS + key, data, key=key)

    async def create(self, key: str, data: bytes) -> None:
        """Store a small object on condition that there is none."""
        await self._bucket.put(_OBJECTS + key, data, key=key, create=True)

    async def stat(self, key: str) -> Stat:
        """Describe an object."""
        found = await self._bucket.head(_OBJECTS + key, key=key)
        return Stat(key=key, size_bytes=found.size_bytes, modified_time=found.modified_time)

    async def keys(
        self,
        prefix: str = "",
        *,
        skip_away: bool = False,  # noqa: ARG002  # the port's
    ) -> Sequence[str]:
        """Return the keys under a prefix, sorted."""
        found = await self._bucket.list(_OBJECTS + prefix)
        return [each.path.removeprefix(_OBJECTS) for each in found]

    async def open(self, key: str) -> ObjectReader:
        """Look how large an object is."""
        return ObjectReader(self._bucket, key, (await self.stat(key)).size_bytes)

    async def delete(self, key: str) -> None:
        """Delete an object."""
        await self._bucket.delete([_OBJECTS + key])

    async def copy(self, source: str, target: str) -> None:
        """Copy an object, within the object store."""
        await self._bucket.copy(_OBJECTS + source, _OBJECTS + target, key=source)

    async def url(self, key: str, ttl: timedelta) -> str:
        """Sign a URL that fetches an object."""
        return await self._bucket.sign(_OBJECTS + key, ttl, key=key)

    def file_path(self, key: str) -> str:  # noqa: ARG002  # the port's signature
        """Refuse: nothing here is a file."""
        raise UnimplementedError("objects are no files at this storage: use Read")

    async def stage(self, key: str) -> ObjectStaging:
        """Open a staging."""
        staging = ObjectStaging(
            key=key,
            folder=_STAGING + key,
            bucket=self._bucket,
            threads=self._threads,
            clock=self._clock,
        )
        return await staging.open()

    async def stagings(self, *, skip_away: bool = False) -> Sequence[Stat]:  # noqa: ARG002  # the port's
        """Describe every staging; it was modified when its newest segment was put."""
        found: dict[str, list[Found]] = {}
        for each in await self._bucket.list(_STAGING):
            key = each.path.removeprefix(_STAGING).rpartition("/")[0]
            found.setdefault(key, []).append(each)
        return [
            Stat(
                key=key,
                size_bytes=sum(each.size_bytes for each in segments),
                modified_time=max(each.modified_time for each in segments),
            )
            for key, segments in found.items()
        ]

    async def discard_staging(self, key: str) -> None:
        """Delete the segments of a staging."""
        await discard(self._bucket, _STAGING + key)

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[Path]:
        """Give a folder on the local disk."""
        folder = self._scratch.path / f"work-{secrets.token_hex(8)}"
        try:
            with disk_errors("the scratch folder"):
                await self._threads.run(folder.mkdir, mode=0o700)
            yield folder
        finally:
            await self._threads.run(shutil.rmtree, folder, ignore_errors=True)

    async def adopt(self, file: Path, key: str) -> Published:
        """Send a file of a scratch folder into the bucket."""
        with disk_errors(key):
            size_bytes = (await asyncio.to_thread(file.stat)).st_size
            return await publish(
                self._bucket,
                _OBJECTS + key,
                file_parts(file, self._bucket.part_bytes, self._threads),
                size_bytes,
                key=key,
                threads=self._threads,
            )
