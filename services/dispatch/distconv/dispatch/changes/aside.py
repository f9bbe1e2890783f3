"""Changes that another's lock stands in the way of, away from all others.

A group is parted until what meets the lock stands alone. That is tried again by
itself for a while, and what comes to be asked of the same waits behind it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import structlog

from distconv.dispatch.changes.entry import Entry, fail_all, halves
from distconv.dispatch.changes.pauses import Pauses

_log = structlog.get_logger()

# How often a change is tried that others stand in the way of, and for how long at most, s.
_TRIES = 12
_PATIENCE_S = 10.0
# So many connections are used at once for what is here.
_MOST_AT_ONCE = 2


class Aside:
    """Try what met a lock again; tasks of its own wait for the locks."""

    def __init__(
        self,
        commit: Callable[[Sequence[Entry]], Awaitable[Sequence[Entry]]],
        give_back: Callable[[Sequence[Entry]], None],
        *,
        randomness: Callable[[], float],
    ) -> None:
        """`commit` commits a group and returns those of it that met a lock.

        `give_back` takes back those that have nothing in their way any more.
        `randomness` returns numbers in [0, 1) for the jitter of pauses.
        """
        self._commit = commit
        self._give_back = give_back
        self._randomness = randomness
        # Who is tried by itself, by what it is about, and who waits behind it.
        self._stuck: dict[tuple[str, str], Entry] = {}
        self._followers: dict[Entry, list[Entry]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(_MOST_AT_ONCE)

    def take(self, group: Sequence[Entry]) -> None:
        """Take a group that met a lock."""
        self._spawn(self._part(group), group)

    def follows(self, entry: Entry) -> bool:
        """Put a change behind one that is here and about the same; False when there is none."""
        if not self._stuck:
            return False
        ahead = next((self._stuck[s] for s in entry.subjects if s in self._stuck), None)
        if ahead is None:
            return False
        if entry.patient:
            self._followers[ahead].append(entry)
        else:
            entry.fail(ahead.conflict)
        return True

    async def _part(self, group: Sequence[Entry]) -> None:
        """Halve a group until what meets the lock stands alone."""
        if len(group) == 1:
            self._stick(group[0])
            return
        for half in halves(group):
            free = [entry for entry in half if not self.follows(entry)]
            if free and (blocked := await self._try(free)):
                await self._part(blocked)

    def _stick(self, entry: Entry) -> None:
        if not entry.patient:
            entry.fail(entry.conflict)
        elif not self.follows(entry):
            self._followers[entry] = []
            self._stuck.update(dict.fromkeys(entry.subjects, entry))
            self._spawn(self._insist(entry), [entry])

    async def _insist(self, entry: Entry) -> None:
        """Try a change by itself until it is made or its patience ends."""
        made = False
        try:
            made = await self._made(entry)
        finally:
            followers = self._followers.pop(entry)
            for subject in entry.subjects:
                del self._stuck[subject]
            if made:
                self._give_back(followers)
            else:
                fail_all([entry, *followers], entry.conflict)

    async def _made(self, entry: Entry) -> bool:
        clock, pauses = asyncio.get_running_loop().time, Pauses(self._randomness)
        deadline = clock() + _PATIENCE_S
        for _ in range(_TRIES):
            await pauses.make()
            if not await self._try([entry]):
                return True
            if clock() >= deadline:
                break
        _log.warning("change_given_up", subjects=entry.subjects, why=entry.conflict.message)
        return False

    async def _try(self, group: Sequence[Entry]) -> Sequence[Entry]:
        async with self._room:
            return await self._commit(group)

    def _spawn(self, work: Coroutine[Any, Any, None], entries: Sequence[Entry]) -> None:
        task = asyncio.create_task(work, name="group_commit_aside")
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if task.cancelled():
                for entry in entries:
                    entry.answer.cancel()

        task.add_done_callback(ended)
