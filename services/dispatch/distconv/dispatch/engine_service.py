"""EngineService: the stream of a session on one side, the session hub on the other."""

# ruff: noqa: N802, ARG002  # the contract's names, and gRPC's signature

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import grpc.aio
import structlog

from distconv.core.errors import DistconvError, InternalError, InvalidArgumentError
from distconv.dispatch.engine_messages import EngineMessages
from distconv.dispatch.engine_session import EngineSession
from distconv.dispatch.session_hub import SessionHub
from distconv.dispatch.session_wire import dispatch_message, to_hello, to_message
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

_log = structlog.get_logger()

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None] | None"]


class EngineServicer(EngineServiceServicer):
    """Serve engines."""

    def __init__(self, hub: SessionHub, messages: EngineMessages, spawn: Spawn) -> None:
        """`spawn` runs a coroutine in the process's task group."""
        self._hub = hub
        self._messages = messages
        self._spawn = spawn

    async def Connect(
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[pb.DispatchMessage]:
        """Hold a session."""
        incoming: AsyncIterator[pb.EngineMessage] = request_iterator
        hello = to_hello(await _first(incoming))
        session = await self._hub.open(principal().tenant, hello)
        # The reader is no child of this generator: grpc may drop a generator at a yield.
        reader = self._spawn(self._read(session, hello.attempts, incoming))
        try:
            async for message in session.outbound():
                yield dispatch_message(message)
        finally:
            if reader is not None:
                reader.cancel()
            self._hub.close(session)

    async def _read(
        self, session: EngineSession, reports: Any, incoming: AsyncIterator[pb.EngineMessage]
    ) -> None:
        try:
            await self._messages.take_reports(session, tuple(reports))
            async for message in incoming:
                known = to_message(message)
                if known is not None and not session.ended:
                    await self._messages.take(session, known)
            session.end()
        except DistconvError as error:
            session.end(error)
        except (grpc.aio.UsageError, grpc.aio.BaseError, grpc.RpcError):
            session.end()
        except Exception:  # noqa: BLE001  # logged with its traceback
            _log.exception("session_failed", engine=session.engine.id)
            session.end(InternalError("a fault of the server; connect again"))

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


def engine_service(servicer: EngineServicer) -> Service:
    """Make the service for a server."""

    def register(server: grpc.aio.Server) -> None:
        add_EngineServiceServicer_to_server(servicer, server)

    return Service(name=NAME, authenticator=LocalAuthenticator(), register=register)
