"""Run a command's coroutine; Ctrl-C, TERM and HUP end it in order, a second one at once."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from distconv.client.cli.failing import InterruptedBySignalError

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end and return its result.

    Raises InterruptedBySignalError after a signal ended it.
    """
    return asyncio.run(_supervised(work))


@contextmanager
def telling_if_interrupted(sentence: str, note: Callable[[str], None]) -> Iterator[None]:
    """Say what becomes of the work, and how to come back to it, when a signal ends the block."""
    try:
        yield
    except asyncio.CancelledError:
        note(sentence)
        raise


def goes_on(job: str) -> str:
    """Say of a job that is only watched that it goes on."""
    return (
        f"job {job} goes on: 'dcctl jobs watch {job}' shows it, 'dcctl jobs cancel {job}' ends it"
    )


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
