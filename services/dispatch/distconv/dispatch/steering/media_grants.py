"""Decide which media a user may touch; a deletion that is granted is a recorded fact."""

from distconv.core.clock import Clock
from distconv.core.errors import (
    DamagedObjectError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from distconv.core.ids import MakeId, new_id
from distconv.core.names import object_name
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.objects.access import REMEMBERED, MediaAccess, MediaMint
from distconv.dispatch.objects.port import Objects
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.port import Store
from distconv.rpc.auth import Principal
from distconv.rpc.tokens import MediaAction


class MediaGrants:
    """Decide what a user may touch: what the tenant uploaded, and what its jobs published."""

    def __init__(
        self,
        mint: MediaMint,
        objects: Objects,
        store: Store,
        changes: Changes,
        clock: Clock,
        *,
        make_id: MakeId = new_id,
    ) -> None:
        self._mint = mint
        self._objects = objects
        self._store = store
        self._changes = changes
        self._clock = clock
        self._make_id = make_id

    async def grant(self, who: Principal, action: MediaAction, object_id: str) -> MediaAccess:
        """Return access for a user; WRITE without an object makes a new one.

        DELETE is a promise: the object is as good as deleted from here on, no job
        is created on it any more, and the collector deletes what the user does not.

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
        access = self._mint.sign(
            tenant=who.tenant, subject=who.user, object_id=object_id, action=action
        )
        if action is MediaAction.DELETE:
            await self._promise_deletion(who.tenant, access)
        return access

    async def _check(self, tenant: str, action: MediaAction, object_id: str) -> None:
        if action is not MediaAction.READ:
            attempt = await self._store.get_attempt_of_object(tenant, object_id)
            if attempt is not None and (action is MediaAction.WRITE or attempt.state.is_live):
                raise PermissionDeniedError(
                    f"{object_name(object_id)} is an engine's output; users may read it, "
                    "and delete it once its job has ended"
                )
        try:
            if await self._objects.stat(tenant, object_id) is None:
                raise NotFoundError(f"there is no object objects/{object_id}")
        except DamagedObjectError:
            if action is not MediaAction.DELETE:  # which is the way out
                raise

    async def _promise_deletion(self, tenant: str, access: MediaAccess) -> None:
        object_id = access.object_id

        async def make(change: Change) -> None:
            if await change.tx.is_object_needed(tenant, object_id):
                raise FailedPreconditionError(
                    f"{object_name(object_id)} is the source of a job that has not ended; "
                    "cancel it first"
                )
            await change.discard_object(
                tenant,
                object_id,
                due_time=access.expire_time,
                final_time=access.expire_time + REMEMBERED,
            )

        # Its tenant is locked, so that no job is created on the object meanwhile.
        await self._changes.make(make, keys=Keys(tenants=(tenant,), garbage=(object_id,)))
