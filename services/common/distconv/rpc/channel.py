"""Make client channels as every process of distconv uses them."""

import json
from collections.abc import Sequence

import grpc
import grpc.aio

from distconv.core.errors import InvalidArgumentError
from distconv.rpc.buffers import keep_message_buffers
from distconv.rpc.limits import MAX_MESSAGE_BYTES

# Only calls that may be made twice are retried by the channel itself.
_IDEMPOTENT = (
    ("distconv.v1.DispatchService", ("GetServerInfo", "GetJob", "ListJobs", "ListTasks")),
    ("distconv.v1.DispatchService", ("GetEngine", "ListEngines", "GetProfile", "ListProfiles")),
    ("distconv.v1.StorageService", ("GetUpload", "GetObject", "ListObjects")),
)
_SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                "name": [
                    {"service": service, "method": method}
                    for service, methods in _IDEMPOTENT
                    for method in methods
                ],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # No proxy from the environment between a machine and its own farm.
    ("grpc.enable_http_proxy", 0),
)

# The deadline of an ordinary unary call, seconds.
UNARY_TIMEOUT_S = 20.0


def open_channel(
    address: str, *, tls_ca: bytes | None = None, alone: bool = False
) -> grpc.aio.Channel:
    """Open a channel to `host:port`; it connects at the first call.

    With `tls_ca`, certificates as PEM, it speaks TLS alone, to a server that shows a certificate
    which one of them signed, for the host that `address` names. Channels to one address share a
    connection, but for one that is `alone`.

    Raises InvalidArgumentError when the address is none.
    """
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) <= 65535:
        raise InvalidArgumentError(
            f"'{address}' is not a server's address; write host:port, as 127.0.0.1:7400",
            field="server",
        )
    keep_message_buffers()
    options = [*_OPTIONS, ("grpc.use_local_subchannel_pool", int(alone))]
    if tls_ca is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(tls_ca), options=options)


def bearer_metadata(token: str) -> Sequence[tuple[str, str]]:
    """Return the metadata that carries a token."""
    return (("authorization", f"Bearer {token}"),)
