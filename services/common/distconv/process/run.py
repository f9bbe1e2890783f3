"""Run a process's main coroutine until it ends or is asked to."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

from distconv.process.parent import watch_parent


async def _until_stopped(
    main: Callable[[asyncio.Event], Awaitable[int]], *, with_parent: bool
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if with_parent:
        watch_parent(stop)
    return await main(stop)


def run(main: Callable[[asyncio.Event], Awaitable[int]], *, with_parent: bool = False) -> int:
    """Run `main(stop)` and return its exit code.

    SIGINT and SIGTERM set `stop`; so does the end of standard input when the
    process is to end with its parent.
    """
    return asyncio.run(_until_stopped(main, with_parent=with_parent))
