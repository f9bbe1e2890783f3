"""The channels to one server and to its storage, and calls over them with deadlines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import grpc
import grpc.aio

from distconv.client.patience import Break, Patience, is_break
from distconv.core.errors import DistconvError
from distconv.core.names import parse_tenant
from distconv.rpc.auth import TENANT_KEY
from distconv.rpc.channel import UNARY_TIMEOUT_S, open_channel
from distconv.rpc.errors import translated
from distconv.v1 import dispatch_service_pb2_grpc, storage_service_pb2_grpc

if TYPE_CHECKING:
    from distconv.v1.dispatch_service_pb2_grpc import DispatchServiceAsyncStub
    from distconv.v1.storage_service_pb2_grpc import StorageServiceAsyncStub

Q = TypeVar("Q")
R = TypeVar("R")


class Connection:
    """A client's way to a server; channels open at the first call and are shared.

    Breaks are endured for `reconnect`, but only once the server has answered:
    one that never did is reported at once.
    """

    def __init__(
        self,
        address: str,
        *,
        reconnect: timedelta,
        on_break: Callable[[Break], None] | None = None,
        tenant: str = "",
    ) -> None:
        self.address = address
        # Goes with every call; storage, which trusts its tokens alone, passes it over.
        self.identity = ((TENANT_KEY, parse_tenant(tenant)),) if tenant else ()
        self._reconnect = reconnect
        self._on_break = on_break
        self._answered = False
        self._channels = {address: open_channel(address)}
        self.dispatch: DispatchServiceAsyncStub = dispatch_service_pb2_grpc.DispatchServiceStub(
            self._channels[address]
        )

    async def close(self) -> None:
        """Close every channel; calls under way end."""
        for channel in self._channels.values():
            await channel.close()

    def storage(self, address: str) -> StorageServiceAsyncStub:
        """Return a stub of the storage at `address`."""
        if address not in self._channels:
            self._channels[address] = open_channel(address)
        return storage_service_pb2_grpc.StorageServiceStub(self._channels[address])

    def patience(self) -> Patience:
        """Return new patience for one piece of work."""
        limit = self._reconnect if self._answered else timedelta(0)
        return Patience(limit, address=self.address, on_break=self._on_break)

    def answered(self) -> None:
        """Note that the server is there."""
        self._answered = True

    async def once(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Q, R],
        request: Q,
        *,
        timeout_s: float = UNARY_TIMEOUT_S,
        metadata: Sequence[tuple[str, str]] = (),
        address: str = "",
    ) -> R:
        """Make a unary call once, with its deadline. Raises what the server raised."""
        with translated(address or self.address):
            response = await method(
                request, timeout=timeout_s, metadata=(*self.identity, *metadata)
            )
        self.answered()
        return response

    async def persistently(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Q, R],
        request: Q,
        *,
        timeout_s: float = UNARY_TIMEOUT_S,
        metadata: Sequence[tuple[str, str]] = (),
        address: str = "",
    ) -> R:
        """Make a call that may be made twice, again after breaks, within the patience."""
        patience = self.patience()
        while True:
            try:
                return await self.once(
                    method, request, timeout_s=timeout_s, metadata=metadata, address=address
                )
            except DistconvError as error:
                if not is_break(error):
                    raise
                await patience.pause(error)
