"""Let no cancellation cut a database operation in two.

A caller may be cancelled at any await: its client went away. A driver whose
statement is cut off may leave its connection behind with the write lock held.
So an operation that began is waited for, and then the cancellation goes on.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

_T = TypeVar("_T")


async def whole(operation: Awaitable[_T]) -> _T:
    """Await an operation to its end, then raise the CancelledError that came meanwhile."""
    task = asyncio.ensure_future(operation)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await settled(task)
        raise


@asynccontextmanager
async def whole_context(context: AbstractAsyncContextManager[_T]) -> AsyncIterator[_T]:
    """Enter and leave a context so that every entrance has its exit."""
    entering = asyncio.ensure_future(context.__aenter__())
    try:
        value = await asyncio.shield(entering)
    except asyncio.CancelledError:
        await settled(entering)
        if not entering.cancelled() and entering.exception() is None:
            await whole(context.__aexit__(*sys.exc_info()))
        raise
    try:
        yield value
    except BaseException:
        if not await whole(context.__aexit__(*sys.exc_info())):
            raise
    else:
        await whole(context.__aexit__(None, None, None))


async def settled(task: "asyncio.Future[Any]") -> None:
    """Wait until a task has ended, however often the caller is cancelled meanwhile."""
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue  # the first one is raised once the operation has ended
