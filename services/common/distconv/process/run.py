"""Run a process's main coroutine until it ends or a signal asks it to."""

import asyncio
import signal
from collections.abc import Awaitable, Callable


async def _until_signalled(main: Callable[[asyncio.Event], Awaitable[int]]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return await main(stop)


def run(main: Callable[[asyncio.Event], Awaitable[int]]) -> int:
    """Run `main(stop)` and return its exit code; SIGINT and SIGTERM set `stop`."""
    return asyncio.run(_until_signalled(main))
