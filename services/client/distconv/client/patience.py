"""How long to go on after a break, and how long to wait before each new try."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from distconv.core.clock import Clock, SystemClock
from distconv.core.errors import (
    CancelledError,
    DeadlineExceededError,
    DistconvError,
    InternalError,
    UnavailableError,
)

_FIRST_PAUSE_S = 0.1  # a restarting server is often back within a second
_LONGEST_PAUSE_S = 2.0  # so that a server that came back is found at once, as people see it


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """The connection broke: why, and how long until the next try.

    `first` is true for the first since something last came through; `lost` says
    what is at the other end, for people. A server may also be there, and answer
    that what it needs itself is away.
    """

    error: DistconvError
    pause: timedelta
    first: bool
    lost: str

    @property
    def sentence(self) -> str:
        """Say what is wrong: what the server answered, or else that the connection broke."""
        return self.error.message if self.error.answered else f"the connection to {self.lost} broke"


def is_break(error: DistconvError) -> bool:
    """Tell whether `error` comes from the way to the server rather than from its answer.

    A server that is shutting down cuts streams with CANCELLED; a proxy or a
    reset shows as INTERNAL without the incident that a server's own fault has.
    """
    return (
        isinstance(error, UnavailableError | DeadlineExceededError)
        or type(error) is CancelledError
        # The transport failed, and the server has not said why.
        or (type(error) in (DistconvError, InternalError) and "incident" not in error.metadata)
    )


class Patience:
    """Waits between tries, longer each time, until `limit` has passed without progress."""

    def __init__(
        self,
        limit: timedelta,
        *,
        address: str,
        on_break: Callable[[Break], None] | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limit_s = limit.total_seconds()
        self._address = address
        self._on_break = on_break
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._failing_since: float | None = None
        self._pause_s = _FIRST_PAUSE_S

    @property
    def is_nil(self) -> bool:
        """Tell whether no break at all is endured."""
        return self._limit_s <= 0

    def progressed(self) -> None:
        """Forget earlier breaks: something came through."""
        self._failing_since = None
        self._pause_s = _FIRST_PAUSE_S

    async def pause(self, error: DistconvError, *, lost: str = "") -> None:
        """Wait before the next try; `lost` says what is away, else it is the server.

        Raises `error` itself when there is no patience at all, and
        UnavailableError when it has run out.
        """
        now = self._clock.monotonic()
        lost = lost or f"the server at {self._address}"
        if self.is_nil:
            raise error
        first = self._failing_since is None
        if self._failing_since is None:
            self._failing_since = now
        left_s = self._limit_s - (now - self._failing_since)
        if left_s <= 0:
            gone = f"lost {lost}, and it did not come back within {self._limit_s:g} s"
            raise UnavailableError(
                f"{error.message}; tried for {self._limit_s:g} s" if error.answered else gone,
                metadata={"address": self._address},
            ) from error
        # Full jitter on the upper half, so that many clients do not come back in step.
        pause_s = min(left_s, self._pause_s * (0.5 + random.random() / 2))  # noqa: S311
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        if self._on_break is not None:
            self._on_break(
                Break(error=error, pause=timedelta(seconds=pause_s), first=first, lost=lost)
            )
        await self._sleep(pause_s)
