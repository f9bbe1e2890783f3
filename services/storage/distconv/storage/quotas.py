"""How much a tenant may store, and how much a pool may hold.

What counts lies at the provider, so that it holds for any number of storage
processes: the entries of `contents` for what is committed, and a reservation for
each upload under way, which is the key itself:

    TENANT/reserved/OBJECT.NONCE.POOL.SIZE.TICKET

A reservation is put first and what is used is added up after it: of two uploads
that begin at once and do not fit together, each sees the other, so that at most
one is let in. Processes that grow the same upload draw a ticket each, so that one
that is refused takes back nothing but its own. Where there is no quota, nothing is
put and nothing is counted.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from distconv.core.errors import QuotaExceededError
from distconv.storage.names import Place, parse_content, reserved_prefix, tenant_contents_prefix
from distconv.storage.providers.port import Provider
from distconv.storage.records import UploadRecord

# An upload of unknown size reserves as it grows, so many bytes at a time.
STEP_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaLimits:
    """The quotas, bytes: of tenants by name, of all others (None: no bound), of pools by name."""

    by_tenant: Mapping[str, int] = field(default_factory=dict)
    other_tenants: int | None = None
    by_pool: Mapping[str, int] = field(default_factory=dict)

    def of_tenant(self, tenant: str) -> int | None:
        """Return what a tenant may store, None without bound."""
        return self.by_tenant.get(tenant, self.other_tenants)


NO_QUOTAS = QuotaLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """Bytes that an object has, or that an upload has reserved."""

    place: Place
    pool: str
    size_bytes: int


class Quotas:
    """Reserve, extend and release."""

    def __init__(self, provider: Provider, limits: QuotaLimits = NO_QUOTAS) -> None:
        """Take the main pool as `provider`: all that counts lies there, and no other is asked."""
        self._provider = provider
        self._limits = limits
        self._covered: dict[tuple[Place, str], int] = {}  # by upload: place and nonce

    async def reserve(self, record: UploadRecord) -> None:
        """Reserve an upload's declared size. Raises QuotaExceededError, having reserved nothing."""
        if self._is_limited(record):
            await self._put_reservation(record, record.size_bytes, wanted_bytes=record.size_bytes)

    async def cover(self, record: UploadRecord, size_bytes: int) -> None:
        """See that an upload may have `size_bytes`; one of unknown size reserves as it grows.

        Raises QuotaExceededError; what was reserved stays.
        """
        if self.is_covered(record, size_bytes):
            return
        await self._cover(record, size_bytes)

    def is_covered(self, record: UploadRecord, size_bytes: int) -> bool:
        """Say whether this process knows that an upload may have `size_bytes`."""
        if record.size_bytes or not self._is_limited(record):
            return True
        return size_bytes <= self._covered.get((_place(record), record.nonce), 0)

    async def _cover(self, record: UploadRecord, size_bytes: int) -> None:
        ahead = -(-size_bytes // STEP_BYTES) * STEP_BYTES
        try:
            await self._put_reservation(record, ahead, wanted_bytes=size_bytes)
        except QuotaExceededError:  # what is left may be less than a step
            await self._put_reservation(record, size_bytes, wanted_bytes=size_bytes)

    async def release(self, place: Place, nonce: str) -> None:
        """Give back what an upload of the object had reserved; harmless when that is nothing.

        It must take no more bytes: what it would reserve from now on nobody gives back.
        """
        self._covered.pop((place, nonce), None)
        if self._limits == NO_QUOTAS:
            return
        own = f"{reserved_prefix(place.tenant)}{place.object_id}.{nonce}."
        for key in await self._provider.keys(reserved_prefix(place.tenant)):
            if key.startswith(own):
                await self._provider.delete(key)

    async def used_by_pool(self) -> Mapping[str, int]:
        """Return the bytes that every pool has in use and reserved; lists all keys twice."""
        return _sums(await self._counted())

    def _is_limited(self, record: UploadRecord) -> bool:
        return (
            self._limits.of_tenant(record.tenant) is not None or record.pool in self._limits.by_pool
        )

    async def _put_reservation(
        self, record: UploadRecord, size_bytes: int, *, wanted_bytes: int
    ) -> None:
        """Put a reservation in place of smaller ones, unless it exceeds a quota."""
        own = f"{reserved_prefix(record.tenant)}{record.object_id}.{record.nonce}.{record.pool}."
        ticket = secrets.token_hex(4)
        key = f"{own}{size_bytes}.{ticket}"
        await self._provider.put(key, b"")
        try:
            await self._check(record, size_bytes, wanted_bytes)
        except BaseException:
            await self._provider.delete(key)
            raise
        self._covered[_place(record), record.nonce] = size_bytes
        for other in await self._provider.keys(reserved_prefix(record.tenant)):
            if other.startswith(own) and _parse_reservation(other).size_bytes < size_bytes:
                await self._provider.delete(other)

    async def _check(self, record: UploadRecord, size_bytes: int, wanted_bytes: int) -> None:
        quota = self._limits.of_tenant(record.tenant)
        if quota is not None:
            used = sum(_sums(await self._counted(record.tenant)).values())
            if used > quota:
                raise _exceeded(
                    f"the quota of the tenant '{record.tenant}'",
                    quota=quota,
                    used=used - size_bytes,
                    wanted=wanted_bytes,
                )
        capacity = self._limits.by_pool.get(record.pool)
        if capacity is not None:
            used = (await self.used_by_pool()).get(record.pool, 0)
            if used > capacity:
                raise _exceeded(
                    f"the capacity of the storage pool '{record.pool}'",
                    quota=capacity,
                    used=used - size_bytes,
                    wanted=wanted_bytes,
                )

    async def _counted(self, tenant: str | None = None) -> list[str]:
        """Return the keys of what is reserved, then of what is committed, of a tenant or of all.

        An upload goes from the one to the other, so that none slips through between two listings.
        Within one it could: `contents` come first there, and a listing has several pages.
        """
        if tenant is not None:
            return [
                *await self._provider.keys(reserved_prefix(tenant)),
                *await self._provider.keys(tenant_contents_prefix(tenant)),
            ]
        return [
            *(key for key in await self._provider.keys() if _kind(key) == "reserved"),
            *(key for key in await self._provider.keys() if _kind(key) == "contents"),
        ]


def is_reservation(key: str) -> bool:
    """Tell whether a key is a reservation."""
    return _kind(key) == "reserved"


def reserved_place(key: str) -> Place:
    """Return the object whose upload a reservation is of."""
    return _parse_reservation(key).place


def _kind(key: str) -> str:
    return key.split("/")[1]


def _parse_reservation(key: str) -> _Claim:
    tenant, _, name = key.split("/")
    object_id, _nonce, pool, size, _ticket = name.split(".")
    return _Claim(place=Place(tenant=tenant, object_id=object_id), pool=pool, size_bytes=int(size))


def _sums(keys: Iterable[str]) -> Mapping[str, int]:
    """Add up what objects have, and what uploads reserved whose objects are not there yet."""
    claims: dict[Place, _Claim] = {}
    committed: set[Place] = set()
    for key in keys:
        kind = _kind(key)
        if kind == "contents":
            entry = parse_content(key)
            claim = _Claim(place=entry.place, pool=entry.pool, size_bytes=entry.size_bytes)
            committed.add(claim.place)
            claims[claim.place] = claim
        elif kind == "reserved":
            claim = _parse_reservation(key)
            known = claims.get(claim.place)
            # One that is being extended has two for a moment.
            if known is None or (
                claim.place not in committed and claim.size_bytes > known.size_bytes
            ):
                claims[claim.place] = claim
    sums: dict[str, int] = {}
    for claim in claims.values():
        sums[claim.pool] = sums.get(claim.pool, 0) + claim.size_bytes
    return sums


def _exceeded(what: str, *, quota: int, used: int, wanted: int) -> QuotaExceededError:
    return QuotaExceededError(
        f"{what} is {quota} bytes, of which {used} are used or reserved: {wanted} bytes more do "
        "not fit; delete what is not needed, or have it raised",
        metadata={
            "quota_bytes": str(quota), "used_bytes": str(used), "wanted_bytes": str(wanted),
        },
    )  # fmt: skip


def _place(record: UploadRecord) -> Place:
    return Place(tenant=record.tenant, object_id=record.object_id)
