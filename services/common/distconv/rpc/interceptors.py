"""The one place where errors become statuses and callers become principals."""

# grpc's classes are generic in their stubs only.
from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import structlog
from grpc_status import rpc_status

from distconv.core.clock import SystemClock
from distconv.core.errors import DistconvError, InternalError, UnavailableError
from distconv.core.ids import new_id
from distconv.rpc.auth import Authenticator, Principal, set_principal
from distconv.rpc.errors import to_status

_log = structlog.get_logger()
# Health and reflection tell nothing worth guarding and are asked by balancers without tokens.
# https://github.com/grpc/proposal/blob/master/A6-client-retries.md#pushback
_NO_RETRY = ("grpc-retry-pushback-ms", "-1")
_OPEN = ("/grpc.health.v1.Health/", "/grpc.reflection.")

Authenticate = Callable[[], Principal]

if TYPE_CHECKING:
    _Context = grpc.aio.ServicerContext[Any, Any]


class GuardInterceptor(grpc.aio.ServerInterceptor):
    """Authenticate every call, and turn what it raises into a status.

    An error outside the tree reaches the wire as INTERNAL with an id that is in
    the log beside the traceback, never with its own text.
    """

    def __init__(self, authenticators: Mapping[str, Authenticator]) -> None:
        """Take the authenticator of each service by its full name."""
        self._authenticators = dict(authenticators)

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the handler of one call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_OPEN):
            return handler
        metadata = {
            key.lower(): value if isinstance(value, str) else ""
            for key, value in handler_call_details.invocation_metadata or ()
        }
        authenticator = self._authenticators[method.split("/")[1]]
        return self._wrap(handler, method, partial(authenticator.authenticate, metadata))

    def _wrap(
        self, handler: grpc.RpcMethodHandler[Any, Any], method: str, authenticate: Authenticate
    ) -> grpc.RpcMethodHandler[Any, Any]:
        if handler.response_streaming:
            stream = self._streaming(
                handler.stream_stream if handler.request_streaming else handler.unary_stream,
                method,
                authenticate,
            )
            make = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
            return make(stream, handler.request_deserializer, handler.response_serializer)
        unary = self._unary(
            handler.stream_unary if handler.request_streaming else handler.unary_unary,
            method,
            authenticate,
        )
        make_unary = (
            grpc.stream_unary_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        return make_unary(unary, handler.request_deserializer, handler.response_serializer)

    def _unary(self, inner: Any, method: str, authenticate: Authenticate) -> Any:
        async def call(request: Any, context: _Context) -> Any:
            try:
                set_principal(authenticate())
                return await inner(request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001  # the last fence before the wire
                told = error if isinstance(error, DistconvError) else _hidden(error, method)
                await _abort(context, told)

        return call

    def _streaming(self, inner: Any, method: str, authenticate: Authenticate) -> Any:
        async def call(request: Any, context: _Context) -> AsyncIterator[Any]:
            try:
                set_principal(authenticate())
                async for response in inner(request, context):
                    yield response
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001  # the last fence before the wire
                told = error if isinstance(error, DistconvError) else _hidden(error, method)
                await _abort(context, told)

        return call


async def _abort(context: _Context, error: DistconvError) -> None:
    status: Any = rpc_status.to_status(to_status(error))  # a named tuple, which no stub says
    if isinstance(error, UnavailableError):
        # The channel's own retries are for a server that is not reached. One that says itself
        # that something is away has waited for it already: its caller shall know at once.
        status = status._replace(trailing_metadata=(*status.trailing_metadata, _NO_RETRY))
    await context.abort_with_status(status)


def _hidden(error: Exception, method: str) -> InternalError:
    incident = new_id(SystemClock().now())
    _log.error("call_failed", method=method, incident=incident, exc_info=error)
    return InternalError(
        f"a fault of the server; its log tells more under incident {incident}",
        metadata={"incident": incident},
    )
