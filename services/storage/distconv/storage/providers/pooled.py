"""Several places as one: named pools, each a provider of its own, beside the main one.

A key tells its pool: what lies in another than the main one ends in `@POOL`
(`names.new_nonce`). Records, the index and all other small things lie in the
main pool; the bytes of uploads and objects lie in the pool that was chosen.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import structlog

from distconv.core.errors import FailedPreconditionError, UnavailableError
from distconv.storage.names import MAIN_POOL, pool_of
from distconv.storage.providers.port import Provider, Published, Reader, Staging, Stat

_log = structlog.get_logger()
_Listed = TypeVar("_Listed", str, Stat)


class PooledProvider:
    """Implement `Provider` by handing each key to its pool; all but bytes is in `main`."""

    def __init__(self, main: Provider, others: Mapping[str, Provider]) -> None:
        self.main = main
        self._pools: dict[str, Provider] = {MAIN_POOL: main, **others}

    @property
    def names(self) -> Sequence[str]:
        """Return the names of the pools, the main one first."""
        return tuple(self._pools)

    @property
    def shared(self) -> bool:
        """Say whether other processes use the main pool too, where the records are.

        A bucket beside a folder is not shared: it is of the process that has the folder.
        """
        return self.main.shared

    def _of(self, key: str) -> Provider:
        pool = pool_of(key)
        if pool not in self._pools:
            raise FailedPreconditionError(
                f"there is no storage pool '{pool}' here: it is not among the pools of this "
                "storage service's settings; add it, or choose another",
                metadata={"pool": pool},
            )
        return self._pools[pool]

    async def start(self) -> None:
        """Get every pool ready."""
        for provider in self._pools.values():
            await provider.start()

    async def close(self) -> None:
        """Let go of every pool."""
        for provider in self._pools.values():
            await provider.close()

    async def free_bytes(self, key: str = "") -> int | None:
        """Return the room that is left in the pool of a key."""
        return await self._of(key).free_bytes()

    async def get(self, key: str) -> bytes:
        """Return a small thing whole."""
        return await self._of(key).get(key)

    async def put(self, key: str, data: bytes) -> None:
        """Store a small thing."""
        await self._of(key).put(key, data)

    async def create(self, key: str, data: bytes) -> None:
        """Store a small thing unless the key is taken."""
        await self._of(key).create(key, data)

    async def stat(self, key: str) -> Stat:
        """Describe a thing."""
        return await self._of(key).stat(key)

    async def keys(self, prefix: str = "", *, skip_away: bool = False) -> Sequence[str]:
        """Return the keys under a prefix in all pools, sorted."""
        # Beside the main pool are bytes alone: do not ask the others for what they never have.
        kind = [*prefix.split("/"), ""][1]
        pools = self.names if kind in ("", "data") else (MAIN_POOL,)
        return sorted(
            await self._listed(pools, lambda each: each.keys(prefix), skip_away=skip_away)
        )

    async def open(self, key: str) -> Reader:
        """Open a thing for reading."""
        return await self._of(key).open(key)

    async def delete(self, key: str) -> None:
        """Delete a thing."""
        await self._of(key).delete(key)

    async def copy(self, source: str, target: str) -> None:
        """Copy a thing within its pool."""
        await self._of(source).copy(source, target)

    async def url(self, key: str, ttl: timedelta) -> str:
        """Make a URL that fetches the thing."""
        return await self._of(key).url(key, ttl)

    def file_path(self, key: str) -> str:
        """Return where a thing lies as a file in its pool's folder."""
        return self._of(key).file_path(key)

    async def stage(self, key: str) -> Staging:
        """Open the staging of that key."""
        return await self._of(key).stage(key)

    async def stagings(self, *, skip_away: bool = False) -> Sequence[Stat]:
        """Describe every staging of every pool."""
        return await self._listed(self.names, lambda each: each.stagings(), skip_away=skip_away)

    async def _listed(
        self,
        names: Sequence[str],
        listing: Callable[[Provider], Awaitable[Sequence[_Listed]]],
        *,
        skip_away: bool,
    ) -> list[_Listed]:
        found: list[_Listed] = []
        for name in names:
            try:
                found += await listing(self._pools[name])
            except UnavailableError as error:
                # Without the main pool's records all that lies in others would look left over.
                if name == MAIN_POOL or not skip_away:
                    raise
                _log.warning("pool_away", pool=name, error=error.message)
        return found

    async def discard_staging(self, key: str) -> None:
        """Free a staging."""
        await self._of(key).discard_staging(key)

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[Path]:
        """Give a folder of the main pool."""
        async with self.main.scratch() as folder:
            yield folder

    async def adopt(self, file: Path, key: str) -> Published:
        """Make a file of a scratch folder the content of `key`."""
        return await self._of(key).adopt(file, key)
