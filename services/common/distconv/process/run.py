"""Run a process's main coroutine until it ends or is asked to."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import structlog

from distconv.process.parent import watch_parent

_log = structlog.get_logger()

_STDERR = 2

MakeLoop = Callable[[], asyncio.AbstractEventLoop]


def _fill_standard_streams() -> None:
    """Open /dev/null where stdin, stdout or stderr is closed.

    What is opened first would become it otherwise; libuv aborts a process whose loop did.
    """
    while (last := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(last, True)  # noqa: FBT003  # its only form
    os.close(last)


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


def run(
    main: Callable[[asyncio.Event], Awaitable[int]],
    *,
    with_parent: bool = False,
    make_loop: MakeLoop | None = None,
) -> int:
    """Run `main(stop)` and return its exit code.

    SIGINT and SIGTERM set `stop`; so does the end of standard input when the
    process is to end with its parent. `make_loop` makes another event loop than
    asyncio's own.
    """
    _fill_standard_streams()
    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(_until_stopped(main, with_parent=with_parent))


def end_within(seconds: float) -> None:
    """End this process by force, with exit code 1, if it still runs so much later.

    For a daemon that was asked to stop: whatever hangs on to a server that went
    away at the same time must not keep it for ever. Names what it waited for.
    """
    asyncio.get_running_loop().call_later(seconds, _end, seconds)


def _end(seconds: float) -> None:
    names = sorted(f"{task.get_name()}: {task.get_coro()}" for task in asyncio.all_tasks())
    _log.error("stop_took_too_long", after_s=seconds, tasks=names)
    os._exit(1)
