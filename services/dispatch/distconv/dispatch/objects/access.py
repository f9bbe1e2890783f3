"""Mint access to media: signed tokens with where to use them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from distconv.core.clock import Clock
from distconv.core.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from distconv.core.ids import MakeId, new_id
from distconv.core.names import object_name
from distconv.dispatch.objects.port import Objects
from distconv.dispatch.store.port import Store
from distconv.rpc.auth import Principal
from distconv.rpc.tokens import MediaAction, MediaTokens


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
        self, tokens: MediaTokens, *, storage_addresses: Sequence[str], ttl: timedelta
    ) -> None:
        self._tokens = tokens
        self._addresses = tuple(storage_addresses)
        self.ttl = ttl

    def sign(
        self, *, tenant: str, subject: str, object_id: str, action: MediaAction
    ) -> MediaAccess:
        """Sign one access."""
        token, expire_time = self._tokens.sign(
            tenant=tenant, subject=subject, object_id=object_id, action=action, ttl=self.ttl
        )
        return MediaAccess(
            storage_addresses=self._addresses,
            token=token,
            object_id=object_id,
            action=action,
            expire_time=expire_time,
        )


class MediaGrants:
    """Decide what a user may touch: what the tenant uploaded, and what its jobs published."""

    def __init__(
        self,
        mint: MediaMint,
        objects: Objects,
        store: Store,
        clock: Clock,
        *,
        make_id: MakeId = new_id,
    ) -> None:
        self._mint = mint
        self._objects = objects
        self._store = store
        self._clock = clock
        self._make_id = make_id

    async def grant(self, who: Principal, action: MediaAction, object_id: str) -> MediaAccess:
        """Return access for a user; WRITE without an object makes a new one.

        Raises InvalidArgumentError, NotFoundError, PermissionDeniedError (an
        engine writes it) or FailedPreconditionError (a job needs it).
        """
        if action is MediaAction.LIST:
            if object_id:
                raise InvalidArgumentError(
                    "listing is of all objects; leave the object empty", field="object"
                )
        elif not object_id:
            if action is not MediaAction.WRITE:
                raise InvalidArgumentError(
                    f"to {action.value}, name the object: objects/ID", field="object"
                )
            object_id = self._make_id(self._clock.now())
        else:
            await self._check(who.tenant, action, object_id)
        return self._mint.sign(
            tenant=who.tenant, subject=who.user, object_id=object_id, action=action
        )

    async def _check(self, tenant: str, action: MediaAction, object_id: str) -> None:
        if action is not MediaAction.READ:
            await self._check_change(tenant, action, object_id)
        if await self._objects.stat(tenant, object_id) is None:
            raise NotFoundError(f"there is no object objects/{object_id}")

    async def _check_change(self, tenant: str, action: MediaAction, object_id: str) -> None:
        attempt = await self._store.get_attempt_of_object(tenant, object_id)
        if attempt is not None and (action is MediaAction.WRITE or attempt.state.is_live):
            raise PermissionDeniedError(
                f"{object_name(object_id)} is an engine's output; users may read it, "
                "and delete it once its job has ended"
            )
        if action is MediaAction.DELETE and await self._store.is_object_needed(tenant, object_id):
            raise FailedPreconditionError(
                f"{object_name(object_id)} is the source of a job that has not ended; "
                "cancel it first"
            )
