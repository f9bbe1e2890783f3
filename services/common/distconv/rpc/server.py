"""Make a grpc.aio server as every process of distconv runs it."""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from distconv.core.errors import InvalidArgumentError, UnavailableError
from distconv.rpc.auth import Authenticator
from distconv.rpc.buffers import keep_message_buffers
from distconv.rpc.interceptors import GuardInterceptor
from distconv.rpc.limits import MAX_MESSAGE_BYTES
from distconv.rpc.tls import ServerTls


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service to serve: its full name, who may call it, and how it is added to a server."""

    name: str
    authenticator: Authenticator
    register: Callable[[grpc.aio.Server], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How a server listens: `bind` is host:port, port 0 takes a free one.

    `drain_grace` is how long calls may go on after the server was told to stop. Without `tls` it
    serves in the clear.
    """

    bind: str = "127.0.0.1:7400"
    reflection: bool = False
    drain_grace: timedelta = timedelta(seconds=5)
    tls: ServerTls | None = None


class Server:
    """A running server; `address` is where it really listens."""

    def __init__(
        self,
        inner: grpc.aio.Server,
        address: str,
        grace: timedelta,
        checker: "health.aio.HealthServicer",  # pyright: ignore[reportAttributeAccessIssue]
    ) -> None:
        self._inner = inner
        self._checker = checker
        self._grace = grace
        self.address = address

    async def stop(self) -> None:
        """Take no new call, let those under way end within the grace, then cut them."""
        # A balancer that follows the health service looks elsewhere from now on.
        await self._checker.enter_graceful_shutdown()
        await self._inner.stop(self._grace.total_seconds())


async def start_server(settings: ServerSettings, services: Sequence[Service]) -> Server:
    """Start a server with health, optional reflection, and `services`.

    Raises InvalidArgumentError for an address that is none, or one beyond
    loopback (callers need no credentials yet), and UnavailableError when it is taken.
    """
    _require_loopback(settings.bind)
    keep_message_buffers()
    server = grpc.aio.server(
        interceptors=[GuardInterceptor({s.name: s.authenticator for s in services})],
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ],
    )
    for service in services:
        service.register(server)
    checker = health.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]  # set at run time
    health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    if settings.reflection:
        _add_reflection(server, [s.name for s in services])
    try:
        port = _listen(server, settings)
    except RuntimeError as error:
        raise UnavailableError(
            f"cannot listen on {settings.bind}: the port is taken or the address is not this "
            "machine's; choose another"
        ) from error
    await server.start()
    await checker.set("", health_pb2.HealthCheckResponse.SERVING)
    host = settings.bind.rpartition(":")[0]
    return Server(server, f"{host}:{port}", settings.drain_grace, checker)


def _listen(server: grpc.aio.Server, settings: ServerSettings) -> int:
    if settings.tls is None:
        return server.add_insecure_port(settings.bind)
    credentials = grpc.ssl_server_credentials([(settings.tls.key, settings.tls.cert)])
    return server.add_secure_port(settings.bind, credentials)


def _add_reflection(server: grpc.aio.Server, names: Sequence[str]) -> None:
    from grpc_reflection.v1alpha import reflection  # noqa: PLC0415  # only dispatch installs it

    reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), server)


def _require_loopback(bind: str) -> None:
    host, _, port = bind.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise InvalidArgumentError(
            f"'{bind}' is not an address to listen on; write host:port, as 127.0.0.1:7400",
            field="bind",
        )
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise InvalidArgumentError(
            f"refusing to listen on {bind}: callers show no credentials in this version, so "
            "distconv listens on this machine only (127.0.0.1, ::1, localhost)",
            field="bind",
        )
