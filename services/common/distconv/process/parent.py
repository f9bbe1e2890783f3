"""End with the process that started this one, however that one ends."""

import asyncio
import os

_STDIN = 0


def watch_parent(stop: asyncio.Event) -> None:
    """Set `stop` when stdin reaches its end.

    A parent whose children are to end with it, even when it is killed, gives
    each a pipe as stdin and never writes to it: the kernel closes the pipe
    with the parent. Call it once, inside the running loop. A stdin that is
    closed, or a file, is at its end already.
    """
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(_STDIN, 4096):
            loop.remove_reader(_STDIN)
            stop.set()

    try:
        loop.add_reader(_STDIN, read)
    except OSError:  # the loop cannot wait for a regular file, nor for what is closed
        stop.set()
