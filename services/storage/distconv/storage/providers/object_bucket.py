"""One bucket and a prefix in it, as storage sees it: small steps on whole objects."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import obstore
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from distconv.core.errors import (
    AlreadyExistsError,
    NotFoundError,
    UnavailableError,
    UnimplementedError,
)
from distconv.core.signed import SignedPut
from distconv.storage.providers.object_errors import object_errors

if TYPE_CHECKING:
    from obstore import ObjectMeta

# S3 takes 10,000 parts at most; the others more.
_MAX_PARTS = 9_000
# Parts of one content on their way at a time: each is held in memory.
_PARTS_AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An object of the bucket."""

    path: str
    size_bytes: int
    modified_time: datetime


class Bucket:
    """Objects under a prefix; `name` is how messages call it, errors are the tree's."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        name: str,
        part_bytes: int,
        signer: ObjectStore | None = None,
    ) -> None:
        """`part_bytes` is the size of the parts that a large content is sent in.

        `signer` is the same store at the address that signed URLs are to have;
        None makes no URLs.
        """
        self._store = store
        self._signer = signer
        self.name = name
        self.part_bytes = part_bytes

    async def check(self, path: str) -> None:
        """Make sure that the bucket is there, may be written, and keeps conditions."""
        with object_errors("the bucket", self.name):
            await obstore.list_with_delimiter_async(self._store)
        await self.put(path, b"", key=path, create=True)
        try:
            await self.put(path, b"", key=path, create=True)
        except AlreadyExistsError:
            return
        finally:
            await self.delete([path])
        raise UnavailableError(
            f"the object store of {self.name} ignores the condition of a write (If-None-Match), "
            "so that several storage processes cannot share it; use one that keeps it"
        )

    async def get(self, path: str, *, key: str) -> bytes:
        """Return a small object whole. Raises NotFoundError."""
        with object_errors(key, self.name, reading=True):
            found = await obstore.get_async(self._store, path)
            return bytes(await found.bytes_async())

    async def get_range(self, path: str, start: int, end: int, *, key: str) -> memoryview:
        """Return the bytes `[start, end)` of an object that has them. Raises NotFoundError."""
        with object_errors(key, self.name, reading=True):
            data = await obstore.get_range_async(self._store, path, start=start, end=end)
        if len(data) != end - start:
            raise UnavailableError(
                f"the object store of {self.name} sent {len(data)} of {end - start} bytes of "
                f"{key}; try again"
            )
        return memoryview(data)

    async def put(self, path: str, data: bytes, *, key: str, create: bool = False) -> None:
        """Store an object, whole. Raises AlreadyExistsError when it is to be created and stands."""
        with object_errors(key, self.name):
            await obstore.put_async(
                self._store,
                path,
                data,
                mode="create" if create else "overwrite",
                use_multipart=False,
            )

    async def put_parts(
        self, path: str, parts: AsyncIterator[bytes], size_bytes: int, *, key: str
    ) -> None:
        """Store an object of any size, whole, as its parts come."""
        part_bytes = max(self.part_bytes, -(-size_bytes // _MAX_PARTS))
        with object_errors(key, self.name):
            await obstore.put_async(
                self._store,
                path,
                parts,
                use_multipart=True,
                chunk_size=part_bytes,
                max_concurrency=_PARTS_AT_ONCE,
            )

    async def head(self, path: str, *, key: str) -> Found:
        """Describe an object. Raises NotFoundError."""
        with object_errors(key, self.name, reading=True):
            return _found(await obstore.head_async(self._store, path))

    async def list(self, prefix: str) -> list[Found]:
        """Describe every object below a prefix that ends where a part of a path does."""
        found: list[Found] = []
        with object_errors(prefix, self.name):
            async for batch in obstore.list(self._store, prefix, chunk_size=1000):
                found += map(_found, batch)
        return sorted(found, key=lambda each: each.path)

    async def holds(self, prefix: str) -> bool:
        """Tell whether there is any object below a prefix."""
        with object_errors(prefix, self.name):
            async for batch in obstore.list(self._store, prefix):
                if batch:
                    return True
        return False

    async def delete(self, paths: Sequence[str]) -> None:
        """Delete objects; missing ones are deleted."""
        for path in paths:
            with object_errors(path, self.name), suppress(FileNotFoundError):
                await obstore.delete_async(self._store, path)

    async def delete_many(self, paths: Sequence[str]) -> None:
        """Delete objects that are there, many in a request where the object store can."""
        try:
            with object_errors(self.name, self.name, reading=True):
                await obstore.delete_async(self._store, paths)
        except NotFoundError:  # somebody else deletes them too
            await self.delete(paths)

    async def copy(self, source: str, target: str, *, key: str) -> None:
        """Copy an object, within the object store. Raises NotFoundError."""
        with object_errors(key, self.name, reading=True):
            await obstore.copy_async(self._store, source, target)

    @property
    def signs(self) -> bool:
        """Say whether URLs are given out."""
        return isinstance(self._signer, S3Store | GCSStore | AzureStore)

    async def sign(self, path: str, ttl: timedelta, *, key: str) -> str:
        """Make a URL at which plain HTTP can fetch the object."""
        return await self._sign("GET", path, ttl, key=key, instead="Read")

    async def sign_put(self, path: str, ttl: timedelta, *, key: str) -> SignedPut:
        """Make a URL at which plain HTTP can put the object, whole.

        obstore signs no headers, and S3 refuses checksums that are not signed:
        what is put there carries none.
        """
        url = await self._sign("PUT", path, ttl, key=key, instead="Write")
        azure = isinstance(self._signer, AzureStore)
        return SignedPut(url=url, headers={"x-ms-blob-type": "BlockBlob"} if azure else {})

    async def _sign(
        self, method: Literal["GET", "PUT"], path: str, ttl: timedelta, *, key: str, instead: str
    ) -> str:
        if not isinstance(self._signer, S3Store | GCSStore | AzureStore):
            raise UnimplementedError(f"this storage gives out no URLs of its bucket: use {instead}")
        with object_errors(key, self.name):
            return await obstore.sign_async(self._signer, method, path, ttl)


def _found(meta: "ObjectMeta") -> Found:
    return Found(path=meta["path"], size_bytes=meta["size"], modified_time=meta["last_modified"])
