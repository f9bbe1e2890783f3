"""A proxy that passes calls of the contract on and keeps their messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import grpc
import grpc.aio
from google.protobuf import message_factory
from google.protobuf.message import Message
from google.rpc import status_pb2
from grpc_status import rpc_status

from distconv.rpc.limits import MAX_MESSAGE_BYTES
from distconv.v1 import dispatch_service_pb2, engine_service_pb2, storage_service_pb2

if TYPE_CHECKING:
    _Context = grpc.aio.ServicerContext[bytes, bytes]

_PACKAGE = "distconv.v1."
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    # The callers' keepalive, which distconv's own servers take.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class _Descriptor(Protocol):
    input_type: Any
    output_type: Any


def _methods() -> Iterator[tuple[str, _Descriptor]]:
    for module in (dispatch_service_pb2, engine_service_pb2, storage_service_pb2):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield f"/{service.full_name}/{method.name}", method


METHODS: dict[str, _Descriptor] = dict(_methods())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message: `up` is from the caller to the server; a status is what ended a call."""

    up: bool
    message: Message | status_pb2.Status


@dataclass(slots=True, kw_only=True)
class Call:
    """One call with its messages, in the order in which they passed."""

    method: str
    sent: list[Sent] = field(default_factory=list)
    ended: bool = False
    broken: bool = False

    def messages(self, *, up: bool) -> list[Message]:
        """Return the messages of one direction."""
        return [s.message for s in self.sent if s.up is up]


class Wiretap:
    """Listen on a free port and pass everything on to `target`.

    `break_after` cuts the next Write off after so many requests, as a broken
    network would.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._server: grpc.aio.Server | None = None
        self._channel: grpc.aio.Channel | None = None
        self._grown = asyncio.Event()
        self.calls: list[Call] = []
        self.address = ""
        self.break_after: int | None = None

    async def start(self) -> None:
        """Listen."""
        self._channel = grpc.aio.insecure_channel(self._target, options=list(_OPTIONS))
        self._server = grpc.aio.server(options=list(_OPTIONS))
        self._server.add_generic_rpc_handlers((_Handler(self),))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    async def stop(self) -> None:
        """Cut every call."""
        if self._server is not None:
            await self._server.stop(0)
        if self._channel is not None:
            await self._channel.close()

    def of(self, method: str, *, since: int = 0) -> list[Call]:
        """Return the calls of a method, `Service.Method`, from the `since`-th call of all on."""
        service, _, name = method.partition(".")
        return [c for c in self.calls[since:] if c.method == f"/{_PACKAGE}{service}/{name}"]

    async def until(self, holds: Any, *, timeout_s: float = 60) -> None:
        """Wait until `holds()` is true, asked again after every message."""
        async with asyncio.timeout(timeout_s):
            while not holds():
                self._grown.clear()
                await self._grown.wait()

    def keep(self, call: Call, message: Message | status_pb2.Status, *, up: bool) -> None:
        """Note a message."""
        call.sent.append(Sent(up=up, message=message))
        self._grown.set()

    async def forward(
        self, method: str, requests: AsyncIterator[bytes], context: _Context
    ) -> AsyncIterator[bytes]:
        """Pass one call on."""
        assert self._channel is not None  # noqa: S101  # started
        record = Call(method=method)
        self.calls.append(record)
        descriptor = METHODS[method]
        give = message_factory.GetMessageClass(descriptor.output_type)
        metadata = [
            (key, value)
            for key, value in context.invocation_metadata() or ()
            if key == "authorization"
        ]
        call: Any = self._channel.stream_stream(method)(metadata=metadata)
        pump = asyncio.create_task(self._pump(record, descriptor, requests, call))
        try:
            while isinstance(data := await call.read(), bytes):
                self.keep(record, give.FromString(data), up=False)
                yield data
        except grpc.aio.AioRpcError as error:
            await self._end(record, error, context)
        except asyncio.CancelledError:
            if not record.broken:
                raise
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the connection broke")
        finally:
            record.ended = True
            self._grown.set()
            pump.cancel()
            call.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def _pump(
        self, record: Call, descriptor: _Descriptor, requests: AsyncIterator[bytes], call: Any
    ) -> None:
        take = message_factory.GetMessageClass(descriptor.input_type)
        left = self.break_after if record.method.endswith("/Write") else None
        async for data in requests:
            self.keep(record, take.FromString(data), up=True)
            await call.write(data)
            if left is not None and (left := left - 1) == 0:
                self.break_after = None
                # What was sent is to arrive: the break is to lose the end, not everything.
                await self.until(lambda: record.messages(up=False))
                record.broken = True
                call.cancel()
                return
        await call.done_writing()

    async def _end(self, record: Call, error: grpc.aio.AioRpcError, context: _Context) -> None:
        status = rpc_status.from_call(error)  # pyright: ignore[reportArgumentType]
        if status is None:
            status = status_pb2.Status(code=error.code().value[0], message=error.details() or "")
        self.keep(record, status, up=False)
        await context.abort_with_status(rpc_status.to_status(status))


class _Handler(grpc.GenericRpcHandler):
    """Take every method of the contract as a stream of bytes each way; a single one is one too."""

    def __init__(self, tap: Wiretap) -> None:
        self._tap = tap

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the handler of one call."""
        method = handler_call_details.method
        if method not in METHODS:
            return None

        async def handle(requests: AsyncIterator[bytes], context: _Context) -> AsyncIterator[bytes]:
            async for data in self._tap.forward(method, requests, context):
                yield data

        return grpc.stream_stream_rpc_method_handler(handle)
