"""EngineService: the stream of a session on one side, the session hub on the other."""

# ruff: noqa: N802, ARG002  # the contract's names, and gRPC's signature

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from distconv.core.errors import InvalidArgumentError
from distconv.dispatch.sessions.messages import FromEngine
from distconv.dispatch.sessions.stream import SessionStreams
from distconv.dispatch.sessions.wire import dispatch_message, to_hello, to_message
from distconv.dispatch.unserved import unserved
from distconv.rpc.auth import LocalAuthenticator, principal
from distconv.rpc.server import Service
from distconv.v1 import engine_service_pb2 as pb
from distconv.v1.engine_service_pb2_grpc import (
    EngineServiceServicer,
    add_EngineServiceServicer_to_server,
)

NAME = "distconv.v1.EngineService"

# An engine says Hello at once; a stream without one is a stray.
_HELLO_TIMEOUT_S = 10.0


class EngineServicer(EngineServiceServicer):
    """Serve engines."""

    def __init__(self, sessions: SessionStreams) -> None:
        self._sessions = sessions

    async def Connect(
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[pb.DispatchMessage]:
        """Hold a session."""
        incoming: AsyncIterator[pb.EngineMessage] = request_iterator
        hello = to_hello(await _first(incoming))
        async with self._sessions.hold(principal().tenant, hello, _known(incoming)) as session:
            async for message in session.outbound():
                yield dispatch_message(message)

    async def RegisterEngine(
        self, request: pb.RegisterEngineRequest, context: Any
    ) -> pb.RegisterEngineResponse:
        """Refuse."""
        raise unserved("RegisterEngine")


async def _first(incoming: AsyncIterator[pb.EngineMessage]) -> pb.EngineMessage:
    try:
        async with asyncio.timeout(_HELLO_TIMEOUT_S):
            return await anext(incoming)
    except (TimeoutError, StopAsyncIteration):
        raise InvalidArgumentError("a session begins with a Hello", field="hello") from None


async def _known(incoming: AsyncIterator[pb.EngineMessage]) -> AsyncIterator[FromEngine]:
    """Yield the messages that this version knows until the stream ends or breaks."""
    try:
        async for message in incoming:
            if (known := to_message(message)) is not None:
                yield known
    except (grpc.aio.UsageError, grpc.aio.BaseError, grpc.RpcError):
        return


def engine_service(servicer: EngineServicer) -> Service:
    """Make the service for a server."""

    def register(server: grpc.aio.Server) -> None:
        add_EngineServiceServicer_to_server(servicer, server)

    return Service(name=NAME, authenticator=LocalAuthenticator(), register=register)
