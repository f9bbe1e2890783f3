"""Go through what is due so that no item keeps the others from being done."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import DistconvError

_log = structlog.get_logger()
_T = TypeVar("_T")

_PAGE = 100
# An item that failed rests for so long, twice as long each time it fails again.
_FIRST_REST = timedelta(seconds=1)
_LONGEST_REST = timedelta(minutes=1)
# While some rest, what comes due behind them is looked for so often: who asks for the time of
# what is due next is told of them.
_WHILE_SOME_REST = timedelta(seconds=1)


class OneByOne(Generic[_T]):
    """Do the items of one duty, and know which of them failed of late."""

    def __init__(
        self,
        duty: str,
        clock: Clock,
        *,
        do: Callable[[_T], Awaitable[object]],
        key: Callable[[_T], str],
        at_once: int = _PAGE,
    ) -> None:
        """`do` does an item, `at_once` of them side by side: their changes share commits.

        `key` names an item, in logs too.
        """
        self._duty = duty
        self._clock = clock
        self._do = do
        self._key = key
        self._at_once = at_once
        # Until when an item rests, and for how long.
        self._rests: dict[str, tuple[datetime, timedelta]] = {}

    async def do_all_due(self, list_due: Callable[[int], Awaitable[Sequence[_T]]]) -> None:
        """Do what `list_due` tells, which is given a limit, until nothing else is due."""
        done: set[str] = set()
        while True:
            # As many more as may be those that rest: beyond them others may be due.
            listed = {self._key(item): item for item in await list_due(_PAGE + len(self._rests))}
            for key in sorted(done & listed.keys()):
                self._rest(key)  # it was done and is due still: not again and again
            now = self._clock.now()
            page = [item for key, item in listed.items() if not self._is_resting(key, now)]
            if not page:
                self._rests = {key: rest for key, rest in self._rests.items() if key in listed}
                return
            done = await self.do_all(page)

    async def do_all(self, items: Iterable[_T]) -> set[str]:
        """Do items; return the keys of those that did not fail."""
        room, done = asyncio.Semaphore(self._at_once), set[str]()

        async def do(item: _T) -> None:
            async with room:
                if await self._done(item):
                    done.add(self._key(item))

        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(do(item))
        return done

    def when(self, due: datetime | None) -> datetime | None:
        """Return when to look again, where the next item is `due`, one that rests included."""
        if not self._rests:
            return due
        return self._clock.now() + _WHILE_SOME_REST

    async def _done(self, item: _T) -> bool:
        key = self._key(item)
        try:
            await self._do(item)
        except DistconvError as error:
            _log.warning("duty_item_failed", duty=self._duty, item=key, why=error.message)
        except Exception:  # noqa: BLE001  # logged with its traceback; the others go on
            _log.exception("duty_item_failed", duty=self._duty, item=key)
        else:
            return True
        self._rest(key)
        return False

    def _is_resting(self, key: str, now: datetime) -> bool:
        return key in self._rests and self._rests[key][0] > now

    def _rest(self, key: str) -> None:
        _, last = self._rests.get(key, (None, None))
        span = _FIRST_REST if last is None else min(last * 2, _LONGEST_REST)
        self._rests[key] = (self._clock.now() + span, span)
