"""Blocking work off the event loop, in threads of storage's own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from distconv.media.child import uncancelled

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Threads:
    """A bounded pool; the loop's default one stays free for others."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="storage")

    async def run(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run blocking work and return its result.

        Nothing can stop a thread: a caller that is cancelled meanwhile waits
        for the work to end first, so that no file is closed under it.
        """
        loop = asyncio.get_running_loop()
        return await uncancelled(loop.run_in_executor(self._pool, lambda: work(*args, **kwargs)))

    def close(self) -> None:
        """End the threads once their work is done."""
        self._pool.shutdown(wait=True)
