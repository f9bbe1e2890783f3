"""Wake those who follow a job. A watcher holds one flag, never a queue: it reads what is now."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from distconv.core.errors import UnavailableError


class Watch:
    """One follower of one job."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._urgent = asyncio.Event()
        self.closed = False

    def notify(self, *, urgent: bool) -> None:
        """Say that there is something new; what is `urgent` is not held back."""
        self._changed.set()
        if urgent:
            self._urgent.set()

    def clear(self) -> None:
        """Take note; to be called before reading."""
        self._changed.clear()
        self._urgent.clear()

    async def wait(self, *, pause_s: float) -> None:
        """Wait for something new, and no less than `pause_s` unless it is urgent.

        Raises UnavailableError when the server shuts down.
        """
        try:
            async with asyncio.timeout(pause_s):
                await self._urgent.wait()
        except TimeoutError:
            await self._changed.wait()
        if self.closed:
            raise UnavailableError("dispatch is shutting down; call again in a moment")


class Watchers:
    """Find the followers of a job."""

    def __init__(self) -> None:
        self._watches: defaultdict[str, dict[Watch, None]] = defaultdict(dict)
        self._closed = False

    @contextmanager
    def follow(self, job_id: str) -> Iterator[Watch]:
        """Follow a job while the block lasts."""
        watch = Watch()
        if self._closed:
            _close(watch)
        self._watches[job_id][watch] = None
        try:
            yield watch
        finally:
            self._watches[job_id].pop(watch, None)
            if not self._watches[job_id]:
                del self._watches[job_id]

    def notify(self, job_id: str, *, urgent: bool) -> None:
        """Wake the followers of a job."""
        for watch in self._watches.get(job_id, ()):
            watch.notify(urgent=urgent)

    def notify_all(self) -> None:
        """Wake every follower, without haste: why a job waits may have changed for any."""
        for watches in self._watches.values():
            for watch in watches:
                watch.notify(urgent=False)

    def close(self) -> None:
        """End every follower."""
        self._closed = True
        for watches in self._watches.values():
            for watch in watches:
                _close(watch)


def _close(watch: Watch) -> None:
    watch.closed = True
    watch.notify(urgent=True)
