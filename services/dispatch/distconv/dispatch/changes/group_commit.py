"""Many changes in one database transaction, without one of them having to know of another.

While one group commits, whatever is asked for meanwhile forms the next: a
change waits for nobody when the store is idle, and costs a fraction of a commit
when it is busy.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import structlog

from distconv.core.errors import AlreadyExistsError, UnavailableError
from distconv.dispatch.store.failures import ConflictError, ConnectionLostError
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.transaction import Transaction
from distconv.dispatch.store.whole import settled

_log = structlog.get_logger()
_T = TypeVar("_T")
# What a body returned, or what it raised.
_Outcome = tuple[Any, Exception | None]

# So many changes share a transaction at most: it bounds how long locks are held.
MAX_GROUP_SIZE = 256
# How often a group is tried when others stand in its way, and the first pause, s; pauses double.
_TRIES = 6
_FIRST_PAUSE_S = 0.01


class Body(Protocol[_T]):  # type: ignore[misc]  # a result is only ever given out
    """A change as the group sees it. It may run more than once, and touches nothing but `tx`."""

    async def run(self, tx: Transaction) -> _T:
        """Make the change."""
        ...

    def committed(self) -> None:
        """Be told that what the last run did is there for good. Must not block or raise."""
        ...


class _Entry:
    """A change that waits for its group."""

    def __init__(self, body: Body[Any], keys: Keys) -> None:
        self.body = body
        self.keys = keys
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.begun = False

    def succeed(self, value: Any) -> None:
        try:
            self.body.committed()
        except Exception:  # noqa: BLE001  # logged with its traceback; the change is made
            _log.exception("effects_failed")
        if not self.answer.done():
            self.answer.set_result(value)

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            # Its caller may be gone: then nobody is to be told that nobody asked.
            self.answer.exception()


class GroupCommit:
    """Run changes in groups, each whole or not at all."""

    def __init__(self, store: Store, *, randomness: Callable[[], float] = random.random) -> None:
        """`randomness` returns numbers in [0, 1) for the jitter of pauses."""
        self._store = store
        self._randomness = randomness
        self._waiting: deque[_Entry] = deque()
        self._serving: asyncio.Task[None] | None = None

    async def run(self, body: Body[_T], keys: Keys) -> _T:
        """Run a change and return its result once it is committed.

        What the body raises is raised here, and nothing of it is done. A caller
        that is cancelled before its group began withdraws the change; later the
        change goes on to its end first. Raises UnavailableError.
        """
        entry = _Entry(body, keys)
        self._waiting.append(entry)
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve(), name="group_commit")
        try:
            answer: _T = await asyncio.shield(entry.answer)
        except asyncio.CancelledError:
            if entry.begun:
                await settled(entry.answer)
            else:
                entry.answer.cancel()
            raise
        return answer

    async def _serve(self) -> None:
        group: list[_Entry] = []
        try:
            while group := self._next_group():
                await self._commit(group)
        finally:
            self._serving = None
            for entry in (*group, *self._waiting):  # none, unless this was cancelled
                entry.answer.cancel()
            self._waiting.clear()

    def _next_group(self) -> list[_Entry]:
        group: list[_Entry] = []
        while self._waiting and len(group) < MAX_GROUP_SIZE:
            entry = self._waiting.popleft()
            if not entry.answer.done():
                entry.begun = True
                group.append(entry)
        return group

    async def _commit(self, group: Sequence[_Entry]) -> None:
        """Commit a group; one that is refused is halved until the culprit stands alone."""
        pause_s = _FIRST_PAUSE_S
        for tries_left in reversed(range(_TRIES)):
            try:
                outcomes = await self._together(group)
            except (ConflictError, ConnectionLostError) as error:
                if not tries_left:
                    return _fail_all(group, error)
                _log.debug("group_retried", size=len(group), why=error.message)
                await asyncio.sleep(pause_s * (1 + self._randomness()) / 2)
                pause_s *= 2
            except UnavailableError as error:
                return _fail_all(group, error)  # the database is away for all alike
            except Exception as error:  # noqa: BLE001  # raised to the callers
                if len(group) == 1:
                    # Two replicas may be asked the same: who is second looks again, and finds
                    # what the first one made.
                    if isinstance(error, AlreadyExistsError) and tries_left == _TRIES - 1:
                        continue
                    return group[0].fail(error)
                await self._commit(group[: len(group) // 2])
                return await self._commit(group[len(group) // 2 :])
            else:
                return _tell(group, outcomes)
        return None

    async def _together(self, group: Sequence[_Entry]) -> list[_Outcome]:
        """Run every body in one transaction; return what each answered or raised."""
        outcomes: list[_Outcome] = []
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


def _tell(group: Sequence[_Entry], outcomes: Sequence[_Outcome]) -> None:
    for entry, (value, raised) in zip(group, outcomes, strict=True):
        if raised is None:
            entry.succeed(value)
        else:
            entry.fail(raised)


def _fail_all(group: Sequence[_Entry], error: Exception) -> None:
    for entry in group:
        entry.fail(error)
