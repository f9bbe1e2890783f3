"""Mint access to media: signed tokens with where to use them."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from distconv.rpc.tokens import MediaAction, MediaTokens

# A deletion is asked for to be done: whoever dawdles finds that the collector has done it.
DELETE_TTL = timedelta(minutes=5)
# An object that was deleted is known to be for so long: a job that is being created on it may have
# seen it before.
REMEMBERED = timedelta(minutes=2)


NO_POOLS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaAccess:
    """A permission to touch one object; no `storage_addresses` means at dispatch's own."""

    storage_addresses: tuple[str, ...]
    token: str = field(repr=False)
    object_id: str
    action: MediaAction
    expire_time: datetime


class MediaMint:
    """Sign access for attempts and users.

    A token carries its tenant and storage keeps objects by tenant, so no token
    opens another tenant's object, whatever id it names.
    """

    def __init__(
        self,
        tokens: MediaTokens,
        *,
        storage_addresses: Sequence[str],
        ttl: timedelta,
        profile_pools: Mapping[str, str] = NO_POOLS,
    ) -> None:
        """`profile_pools` names the storage pools for what is made with a profile."""
        self._tokens = tokens
        self._profile_pools = profile_pools
        self._addresses = tuple(storage_addresses)
        self.ttl = ttl

    def sign(
        self, *, tenant: str, subject: str, object_id: str, action: MediaAction, profile: str = ""
    ) -> MediaAccess:
        """Sign one access; `profile` is what an output is made with."""
        token, expire_time = self._tokens.sign(
            tenant=tenant,
            subject=subject,
            object_id=object_id,
            action=action,
            ttl=min(self.ttl, DELETE_TTL) if action is MediaAction.DELETE else self.ttl,
            pool=self._profile_pools.get(profile, ""),
        )
        return MediaAccess(
            storage_addresses=self._in_turn(object_id),
            token=token,
            object_id=object_id,
            action=action,
            expire_time=expire_time,
        )

    def _in_turn(self, object_id: str) -> tuple[str, ...]:
        """Return the addresses in an order that spreads objects over them, the same for each."""
        if len(self._addresses) < 2:
            return self._addresses
        first = zlib.crc32(object_id.encode()) % len(self._addresses)
        return self._addresses[first:] + self._addresses[:first]
