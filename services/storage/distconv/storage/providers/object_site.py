"""A bucket as the place of a pool, which any number of processes may mark at once.

PREFIX/storage-id        the mark
PREFIX/pools/NAME        empty; at the main place, one for each pool ever used beside it
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from distconv.core.errors import AlreadyExistsError, NotFoundError
from distconv.storage.names import MAIN_POOL
from distconv.storage.providers.marks import FILE, Mark, parse_mark
from distconv.storage.providers.object_bucket import Bucket
from distconv.storage.providers.sections import OBJECTS, STAGING

_POOLS = "pools/"
_HOLDING = (f"{OBJECTS}/", f"{STAGING}/")


class ObjectSite:
    """Implement `Site` on a bucket."""

    remedy = "see that the settings name the bucket and prefix that are meant"

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.where = bucket.name
        self.mark_at = f"{bucket.name.rstrip('/')}/{FILE}"

    async def read(self) -> Mark:
        """Read the object; at the main place list the other pools, too."""
        try:
            mark = parse_mark(await self._bucket.get(FILE, key=FILE), self.mark_at)
        except NotFoundError:
            return Mark()
        if mark.pools[0] != MAIN_POOL:
            return mark
        found = await self._bucket.list(_POOLS)
        others = (each.path.removeprefix(_POOLS) for each in found)
        return Mark(storage_id=mark.storage_id, pools=(MAIN_POOL, *others))

    async def begin(self, mark: Mark) -> None:
        """Put the object unless there is one."""
        with suppress(AlreadyExistsError):
            await self._bucket.put(FILE, f"{mark.line}\n".encode(), key=FILE, create=True)

    async def add(self, names: Sequence[str]) -> None:
        """Put an object for each pool: two processes that add at once each keep theirs."""
        for name in names:
            await self._bucket.put(_POOLS + name, b"", key=_POOLS + name)

    async def holds_anything(self) -> bool:
        """Look for an object."""
        return any(await asyncio.gather(*map(self._bucket.holds, _HOLDING)))
