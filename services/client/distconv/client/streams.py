"""What streams of media share: a guard against stillness, retries, and one error at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol, TypeVar

from distconv.client.access import ObjectAccess
from distconv.client.patience import Patience, is_break
from distconv.core.errors import DeadlineExceededError, DistconvError, UnauthenticatedError

R = TypeVar("R")

# A dead peer is found by keepalive within 30 s; this is for one that lives and does nothing, and
# for a word that was lost. Long, because on a slow line two chunks take their time.
STALL_S = 60.0
# A chunk that arrives damaged is sent again; a path that damages every one is given up.
MAX_DAMAGED = 5
# How long a careful start waits to be refused as a whole.
_REFUSAL_S = 0.25


class _Call(Protocol):
    def code(self) -> Awaitable[object]: ...


class StallGuard:
    """Moves the end of a stream on whenever something moves on it."""

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout

    def moved(self) -> None:
        """Note that something moved."""
        self._timeout.reschedule(asyncio.get_running_loop().time() + STALL_S)


@asynccontextmanager
async def stall_guard(what: str) -> AsyncIterator[StallGuard]:
    """Raise DeadlineExceededError when nothing moves within the block for too long."""
    try:
        async with asyncio.timeout(STALL_S) as timeout:
            yield StallGuard(timeout)
    except TimeoutError as error:
        raise DeadlineExceededError(f"the {what} stood still for {STALL_S:g} s") from error


@contextmanager
def unwrapped() -> Iterator[None]:
    """Raise the first error of a task group instead of the group."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


async def persistently(
    access: ObjectAccess, patience: Patience, step: Callable[[], Awaitable[R]]
) -> R:
    """Take a step that may be taken again, until it is done or patience ends."""
    while True:
        try:
            await access.refresh()
            result = await step()
        except UnauthenticatedError as error:
            await access.renew(error)
        except DistconvError as error:
            if not is_break(error):
                raise
            lost = access.party
            access.go_on()
            await patience.pause(error, lost=lost)
        else:
            access.accepted()
            return result


async def is_refused(call: _Call) -> bool:
    """Tell whether the server ends the call before anything was written."""
    try:
        await asyncio.wait_for(call.code(), _REFUSAL_S)
    except TimeoutError:
        return False
    return True
