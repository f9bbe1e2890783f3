"""Access to one object at storage: the token, where storage listens, and renewal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from distconv.client.connection import Connection
from distconv.client.patience import is_break
from distconv.core.clock import Clock, SystemClock
from distconv.core.errors import DistconvError, UnauthenticatedError
from distconv.rpc.channel import bearer_metadata
from distconv.rpc.convert.times import to_datetime
from distconv.rpc.errors import translated
from distconv.v1 import dispatch_service_pb2 as dispatch
from distconv.v1 import object_pb2 as pb

if TYPE_CHECKING:
    from distconv.rpc.chunk_messages import WriteMethod
    from distconv.v1.storage_service_pb2_grpc import StorageServiceAsyncStub

R = TypeVar("R")

# Asked for anew this long before its end: longer than a clock is usually wrong
# and shorter than any token lives.
_RENEW_BEFORE = timedelta(seconds=30)


class ObjectAccess:
    """The right to do one thing with one object; renewed before and after it ends."""

    def __init__(
        self, connection: Connection, action: pb.MediaAction.ValueType, clock: Clock | None = None
    ) -> None:
        self._connection = connection
        self._action = action
        self._clock = clock or SystemClock()
        self._granted = pb.MediaAccess()
        self._renewals_in_vain = 0
        self._turn = 0

    @classmethod
    async def grant(
        cls, connection: Connection, action: pb.MediaAction.ValueType, name: str = ""
    ) -> ObjectAccess:
        """Ask dispatch for access to the object `name`; with WRITE, none makes a new name."""
        access = cls(connection, action)
        await access._ask(name)
        return access

    @property
    def object(self) -> str:
        """Return the object's name."""
        return self._granted.object

    @property
    def address(self) -> str:
        """Return where its storage listens; of several, the one whose turn it is."""
        found = self._granted.storage_addresses
        return found[self._turn % len(found)] if found else self._connection.address

    def go_on(self) -> None:
        """Turn to the next storage of the object, after a break of the present one."""
        self._turn += 1

    async def at_any(self, call: Callable[[], Awaitable[R]]) -> R:
        """Make a call that may be made twice, at each storage in turn until one answers."""
        tries = len(self._granted.storage_addresses)
        while True:
            try:
                return await call()
            except DistconvError as error:
                tries -= 1
                if tries <= 0 or not is_break(error):
                    raise
                self.go_on()

    def translated(self) -> AbstractContextManager[None]:
        """Turn the errors of a call to its storage into the tree's."""
        return translated(self.address, of_storage=self._connection.is_storage(self.address))

    @property
    def party(self) -> str:
        """Say who is at the other end, for people."""
        kind = "storage" if self._connection.is_storage(self.address) else "the server"
        return f"{kind} at {self.address}"

    @property
    def stub(self) -> StorageServiceAsyncStub:
        """Return a stub of its storage, on a connection of its own for what is written."""
        alone = self._action == pb.MEDIA_ACTION_WRITE
        return self._connection.storage(self.address, alone=alone)

    @property
    def write_method(self) -> WriteMethod:
        """Return Write of its storage, for encoded requests, on the connection that is its own."""
        return self._connection.writing(self.address)

    @property
    def metadata(self) -> Sequence[tuple[str, str]]:
        """Return what carries the token."""
        return bearer_metadata(self._granted.token)

    async def refresh(self) -> None:
        """Renew the token when its end is near."""
        if self._expire_time is not None and (
            self._expire_time - self._clock.now() < _RENEW_BEFORE
        ):
            await self._ask(self.object)

    async def renew(self, refused: UnauthenticatedError) -> None:
        """Renew a token that storage refused. Raises `refused` when that did not help before."""
        if self._renewals_in_vain:
            raise refused
        self._renewals_in_vain += 1
        await self._ask(self.object)

    def accepted(self) -> None:
        """Note that storage took the token."""
        self._renewals_in_vain = 0

    @property
    def _expire_time(self) -> datetime | None:
        if not self._granted.HasField("expire_time"):
            return None
        return to_datetime(self._granted.expire_time)

    async def _ask(self, name: str) -> None:
        request = dispatch.GrantMediaAccessRequest(action=self._action, object=name)
        response = await self._connection.persistently(
            self._connection.dispatch.GrantMediaAccess, request
        )
        self._granted = response.access
