"""Run a command's coroutine; Ctrl-C, TERM and HUP end it in order, a second one at once."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from distconv.client.cli.failing import InterruptedBySignalError

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end and return its result.

    Raises InterruptedBySignalError after a signal ended it.
    """
    return asyncio.run(_supervised(work))


async def _supervised(work: Coroutine[Any, Any, T]) -> T:
    task = asyncio.ensure_future(work)
    caught: list[int] = []

    def on_signal(number: int) -> None:
        if caught:
            os._exit(128 + number)  # children end with us: they watch their stdin
        caught.append(number)
        task.cancel()

    loop = asyncio.get_running_loop()
    # HUP: the terminal was closed, or the line to it is gone.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal, number)
    try:
        return await task
    except asyncio.CancelledError:
        if caught:
            raise InterruptedBySignalError(caught[0]) from None
        raise
