"""The storage pools: which there are, which is chosen, how full they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distconv.core.errors import UnavailableError
from distconv.storage.names import MAIN_POOL, Place, new_nonce
from distconv.storage.providers.port import Provider
from distconv.storage.quotas import Quotas


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool; `capacity_bytes` is None where there is no such bound, `free_bytes` when not known.

    `used_bytes` counts whole objects and what uploads have reserved. `away_reason` says why the
    pool cannot be reached, empty where nothing is known of that.
    """

    name: str
    capacity_bytes: int | None
    used_bytes: int
    free_bytes: int | None
    away_reason: str = ""


class Pools:
    """Choose and describe pools."""

    def __init__(
        self,
        provider: Provider,
        quotas: Quotas,
        *,
        names: Sequence[str],
        capacities: Mapping[str, int],
        by_tenant: Mapping[str, str],
        min_free_bytes: int,
    ) -> None:
        """`by_tenant` names the pools of tenants; others have the main one."""
        self._provider = provider
        self._quotas = quotas
        self._names = names
        self._capacities = capacities
        self._by_tenant = by_tenant
        self._min_free_bytes = min_free_bytes

    def chosen(self, tenant: str, wanted: str) -> str:
        """Return the pool for an upload: the one that its token names, else the tenant's."""
        return wanted or self._by_tenant.get(tenant, MAIN_POOL)

    async def list(self) -> list[Pool]:
        """Describe every pool; costs two listings of all keys of the main one."""
        used = await self._quotas.used_by_pool()
        return [await self._describe(name, used.get(name, 0)) for name in self._names]

    async def _describe(self, name: str, used_bytes: int) -> Pool:
        some_key = Place(tenant="pools", object_id="0").data_key(new_nonce(name))
        capacity = self._capacities.get(name)
        try:
            disk = await self._provider.free_bytes(some_key)
        except UnavailableError as error:  # the others are shown nevertheless
            return Pool(
                name=name,
                capacity_bytes=capacity,
                used_bytes=used_bytes,
                free_bytes=None,
                away_reason=error.message,
            )
        left = [] if disk is None else [max(disk - self._min_free_bytes, 0)]
        left += [] if capacity is None else [max(capacity - used_bytes, 0)]
        return Pool(
            name=name,
            capacity_bytes=capacity,
            used_bytes=used_bytes,
            free_bytes=min(left, default=None),
        )
