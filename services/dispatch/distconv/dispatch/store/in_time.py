"""Wait for something no longer than it may take, without cutting it off."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")

# Held until they end: the loop itself keeps weak references only.
_late: set["asyncio.Task[Any]"] = set()


async def in_time(operation: Coroutine[Any, Any, _T], timeout_s: float) -> _T:
    """Return what the operation does, or raise TimeoutError after `timeout_s`.

    A late one goes on to its end by itself, and what it raises then is nobody's
    concern: a statement on a server that fell silent cannot be taken back, and
    need not be waited for. It is cancelled with its caller.
    """
    task = asyncio.ensure_future(operation)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
    except asyncio.CancelledError:
        task.cancel()
        _leave(task)
        raise
    if not task.done():
        _leave(task)
        raise TimeoutError
    return task.result()


def _leave(task: "asyncio.Task[Any]") -> None:
    if not task.done():
        _late.add(task)
    task.add_done_callback(_forget)


def _forget(task: "asyncio.Task[Any]") -> None:
    _late.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, so that it is not reported as overlooked
