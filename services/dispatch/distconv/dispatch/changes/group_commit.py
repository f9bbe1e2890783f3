"""Many changes in one database transaction, without one of them having to know of another.

While one group commits, whatever is asked for meanwhile forms the next: a
change waits for nobody when the store is idle, and costs a fraction of a commit
when it is busy. A group that meets another's lock is set aside: the next does
not wait with it.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from distconv.core.errors import AlreadyExistsError, UnavailableError
from distconv.dispatch.changes.aside import Aside
from distconv.dispatch.changes.entry import Body, Entry, Outcome, blocked, fail_all, halves, tell
from distconv.dispatch.changes.pauses import Pauses
from distconv.dispatch.store.failures import ConflictError, ConnectionLostError, UnclearCommitError
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.whole import settled

_log = structlog.get_logger()
_T = TypeVar("_T")

# So many changes share a transaction at most: it bounds how long locks are held.
MAX_GROUP_SIZE = 256
# How often a group is tried whose connection breaks.
_TRIES = 6


class GroupCommit:
    """Run changes in groups, each whole or not at all."""

    def __init__(
        self,
        store: Store,
        *,
        randomness: Callable[[], float] = random.random,
        on_unclear: Callable[[], None] = lambda: None,
    ) -> None:
        """`randomness` returns numbers in [0, 1) for the jitter of pauses.

        `on_unclear` is called when nobody knows whether a group was committed.
        """
        self._store = store
        self._on_unclear = on_unclear
        self._randomness = randomness
        self._waiting: deque[Entry] = deque()
        self._serving: asyncio.Task[None] | None = None
        self._aside = Aside(self._commit, self._take_back, randomness=randomness)

    async def run(self, body: Body[_T], keys: Keys, *, patient: bool = True) -> _T:
        """Run a change and return its result once it is committed.

        What the body raises is raised here, and nothing of it is done. A caller
        that is cancelled before its group began withdraws the change; later the
        change goes on to its end first. Raises UnavailableError, which is a
        ConflictError when another change stands in the way: after seconds, at
        once unless `patient`.
        """
        entry = Entry(body, keys, patient=patient)
        self._waiting.append(entry)
        self._serve_on()
        try:
            answer: _T = await asyncio.shield(entry.answer)
        except asyncio.CancelledError:
            if entry.begun:
                await settled(entry.answer)
            else:
                entry.answer.cancel()
            raise
        return answer

    def _serve_on(self) -> None:
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve(), name="group_commit")

    def _take_back(self, entries: Sequence[Entry]) -> None:
        """Take changes that waited longer than any that wait here."""
        self._waiting.extendleft(reversed(entries))
        self._serve_on()

    async def _serve(self) -> None:
        group: list[Entry] = []
        try:
            while group := self._next_group():
                if waiting := await self._commit(group):
                    self._aside.take(waiting)
        finally:
            self._serving = None
            for entry in (*group, *self._waiting):  # none, unless this was cancelled
                entry.answer.cancel()
            self._waiting.clear()

    def _next_group(self) -> list[Entry]:
        group: list[Entry] = []
        while self._waiting and len(group) < MAX_GROUP_SIZE:
            entry = self._waiting.popleft()
            if not entry.answer.done() and not self._aside.follows(entry):
                entry.begun = True
                group.append(entry)
        return group

    async def _commit(self, group: Sequence[Entry]) -> Sequence[Entry]:
        """Commit a group; one that is refused is halved until the culprit stands alone.

        Return those that met another's lock: nothing of them is done, and they are unanswered.
        """
        pauses = Pauses(self._randomness)
        for tries_left in reversed(range(_TRIES)):
            try:
                outcomes = await self._together(group)
            except ConflictError as error:
                return blocked(group, error)
            except ConnectionLostError as error:
                if tries_left:
                    _log.debug("group_retried", size=len(group), why=error.message)
                    await pauses.make()
                    continue
                fail_all(group, error)
            except UnavailableError as error:
                self._fail(group, error)  # the database is away for all alike
            except Exception as error:  # noqa: BLE001  # raised to the callers
                if len(group) > 1:
                    return [entry for half in halves(group) for entry in await self._commit(half)]
                if tries_left == _TRIES - 1 and isinstance(error, AlreadyExistsError):
                    # Two replicas may be asked the same: who is second looks again, and finds
                    # what the first one made.
                    continue
                group[0].fail(error)
            else:
                tell(group, outcomes)
            break
        return ()

    def _fail(self, group: Sequence[Entry], error: UnavailableError) -> None:
        if isinstance(error, UnclearCommitError):
            self._on_unclear()
        fail_all(group, error)

    async def _together(self, group: Sequence[Entry]) -> list[Outcome]:
        """Run every body in one transaction; return what each answered or raised."""
        outcomes: list[Outcome] = []
        async with self._store.transaction(Keys.merge(entry.keys for entry in group)) as tx:
            for entry in group:
                try:
                    value = await entry.body.run(tx)
                except Exception as error:  # raised to its caller
                    if tx.broken:
                        raise
                    tx.drop()
                    outcomes.append((None, error))
                else:
                    tx.keep()
                    outcomes.append((value, None))
        return outcomes
