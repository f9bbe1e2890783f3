"""The channels to the servers and to their storage, and calls over them with deadlines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

import grpc
import grpc.aio

from distconv.client.patience import Break, Patience, is_break
from distconv.client.replicas import (
    Replicas,
    RoutedMethod,
    RoutedStub,
    has_failed,
    never_sent,
    parse_addresses,
)
from distconv.core.errors import DistconvError
from distconv.core.names import parse_tenant
from distconv.rpc.auth import TENANT_KEY
from distconv.rpc.channel import UNARY_TIMEOUT_S, open_channel
from distconv.rpc.chunk_messages import write_method
from distconv.rpc.errors import translated
from distconv.v1 import (
    dispatch_service_pb2_grpc,
    event_service_pb2_grpc,
    storage_service_pb2_grpc,
)

if TYPE_CHECKING:
    from distconv.rpc.chunk_messages import WriteMethod
    from distconv.v1.dispatch_service_pb2_grpc import DispatchServiceAsyncStub
    from distconv.v1.event_service_pb2_grpc import EventServiceAsyncStub
    from distconv.v1.storage_service_pb2_grpc import StorageServiceAsyncStub

Q = TypeVar("Q")
R = TypeVar("R")


class Connection:
    """A client's way to its servers; channels open at the first call and are shared.

    It stays with the server that answers. When that one is away, a call that
    may be repeated goes on to the next at once; any other does so only when
    nothing of it was sent. Breaks are endured for `reconnect`, but only once a
    server has answered: where none ever did, that is reported at once.
    """

    def __init__(
        self,
        addresses: str | Sequence[str],
        *,
        reconnect: timedelta,
        on_break: Callable[[Break], None] | None = None,
        tenant: str = "",
        tls_ca: bytes | None = None,
    ) -> None:
        """`addresses` are host:port each; a text separates several by commas."""
        self._tls_ca = tls_ca
        self.replicas = Replicas(parse_addresses(addresses))
        # Goes with every call; storage, which trusts its tokens alone, passes it over.
        self.identity = ((TENANT_KEY, parse_tenant(tenant)),) if tenant else ()
        self._reconnect = reconnect
        self._on_break = on_break
        self._answered = False
        self._channels = {a: open_channel(a, tls_ca=tls_ca) for a in self.replicas.addresses}
        stubs: dict[str, Any] = {
            address: dispatch_service_pb2_grpc.DispatchServiceStub(channel)
            for address, channel in self._channels.items()
        }
        self.dispatch = cast("DispatchServiceAsyncStub", RoutedStub(self.replicas, stubs))
        events: dict[str, Any] = {
            address: event_service_pb2_grpc.EventServiceStub(channel)
            for address, channel in self._channels.items()
        }
        self.events = cast("EventServiceAsyncStub", RoutedStub(self.replicas, events))

    @property
    def address(self) -> str:
        """Return the server that calls go to at present."""
        return self.replicas.current

    async def close(self) -> None:
        """Close every channel; calls under way end."""
        for channel in self._channels.values():
            await channel.close()

    def storage(self, address: str, *, alone: bool = False) -> StorageServiceAsyncStub:
        """Return a stub of the storage at `address`.

        What is sent `alone` has a connection to itself: on a slow line everything
        else would wait behind the megabytes of an upload that are on their way.
        """
        return storage_service_pb2_grpc.StorageServiceStub(self._channel(address, alone=alone))

    def writing(self, address: str) -> WriteMethod:
        """Return StorageService.Write of the storage at `address`, for encoded requests."""
        return write_method(self._channel(address, alone=True))

    def _channel(self, address: str, *, alone: bool) -> grpc.aio.Channel:
        key = f"{address} alone" if alone else address
        if key not in self._channels:
            self._channels[key] = open_channel(address, tls_ca=self._tls_ca, alone=alone)
        return self._channels[key]

    def is_storage(self, address: str) -> bool:
        """Tell whether storage apart from dispatch listens at `address`."""
        return address not in self.replicas.addresses

    def patience(self) -> Patience:
        """Return new patience for one piece of work."""
        limit = self._reconnect if self._answered else timedelta(0)
        return Patience(limit, address=str(self.replicas), on_break=self._on_break)

    def answered(self) -> None:
        """Note that the server is there."""
        self._answered = True

    def lost(self, address: str = "") -> None:
        """Note that a server is gone, the present one unless named: calls go to the next."""
        self.replicas.leave(address or self.address)

    async def once(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Q, R],
        request: Q,
        *,
        timeout_s: float = UNARY_TIMEOUT_S,
        metadata: Sequence[tuple[str, str]] = (),
        address: str = "",
    ) -> R:
        """Make a unary call, with its deadline; at the next server when the present one is away.

        At storage, whose `address` is given, it is made once. Raises what the
        server raised.
        """
        tries = len(self.replicas) if isinstance(method, RoutedMethod) else 1
        # One that hangs must leave time for the others.
        each_s = timeout_s / tries
        while True:
            here = address or self.address
            with translated(here, of_storage=self.is_storage(here)):
                try:
                    response = await method(
                        request, timeout=each_s, metadata=(*self.identity, *metadata)
                    )
                except grpc.aio.AioRpcError as error:
                    tries -= 1
                    if tries <= 0 or not _may_go_on(method, request, error):
                        raise
                    self.replicas.leave(here)
                    continue
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
                if not error.answered:
                    self.lost(address)
                await patience.pause(error)


def _may_go_on(method: object, request: object, error: grpc.aio.AioRpcError) -> bool:
    if not isinstance(method, RoutedMethod):
        return False
    return never_sent(error) or (has_failed(error) and method.may_repeat(request))
