"""The servers that a client may talk to, any of which will do, and when to go on to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc.aio

from distconv.core.errors import InvalidArgumentError

# Calls that change nothing, and one that only signs a token.
_READS = ("Get", "List", "Explain", "GrantMediaAccess")
# Changes that come to the same when made twice, as their contract says.
_REPEATABLE = frozenset({"CancelJob"})


def parse_addresses(addresses: str | Sequence[str]) -> tuple[str, ...]:
    """Return the addresses of a list, or of a text that separates them by commas; each once.

    Raises InvalidArgumentError when there is none.
    """
    parts = addresses.split(",") if isinstance(addresses, str) else addresses
    found = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not found:
        raise InvalidArgumentError(
            "no server is named; write host:port, as 127.0.0.1:7400, several separated by commas",
            field="server",
        )
    return found


class Replicas:
    """The addresses, and the present one; the client stays with one that answers."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = tuple(addresses)
        self._turn = 0

    def __len__(self) -> int:
        return len(self.addresses)

    def __str__(self) -> str:
        return ", ".join(self.addresses)

    @property
    def current(self) -> str:
        """Return the address to talk to."""
        return self.addresses[self._turn]

    def leave(self, address: str) -> None:
        """Go on to the next, unless another call has left `address` already."""
        if address == self.current:
            self._turn = (self._turn + 1) % len(self.addresses)


class RoutedStub:
    """A stub whose methods go to the present replica, whichever that is when they are called."""

    def __init__(self, replicas: Replicas, stubs: dict[str, Any]) -> None:
        """Take a stub for each address."""
        self._replicas = replicas
        self._stubs = stubs

    def __getattr__(self, name: str) -> RoutedMethod:
        return RoutedMethod(name, self._replicas, self._stubs)


class RoutedMethod:
    """A method of a RoutedStub."""

    def __init__(self, name: str, replicas: Replicas, stubs: dict[str, Any]) -> None:
        self.name = name
        self._replicas = replicas
        self._stubs = stubs

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Make the call at the present replica."""
        return getattr(self._stubs[self._replicas.current], self.name)(*args, **options)

    def may_repeat(self, request: object) -> bool:
        """Tell whether the call may be made again elsewhere although the first may have arrived."""
        return (
            self.name.startswith(_READS)
            or self.name in _REPEATABLE
            or bool(getattr(request, "request_id", ""))
        )


def never_sent(error: grpc.aio.AioRpcError) -> bool:
    """Tell whether a call failed before anything of it was sent: any call may be repeated then."""
    # gRPC's words for a refused connection (src/core/load_balancing/pick_first).
    return error.code() is grpc.StatusCode.UNAVAILABLE and (error.details() or "").startswith(
        "failed to connect to all addresses"
    )


def has_failed(error: grpc.aio.AioRpcError) -> bool:
    """Tell whether a call failed for want of a server that answers."""
    return error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
