"""One item that always fails keeps no other from being done, and is come back to."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from distconv.core.errors import DistconvError, FailedPreconditionError
from distconv.dispatch.duties.one_by_one import OneByOne
from distconv.dispatch.testing import ManualClock


class Work:
    """Items that are due until they are done; some fail, or come to nothing."""

    def __init__(self, number: int) -> None:
        self.clock = ManualClock()
        self.due = [f"{k:04}" for k in range(number)]
        self.broken: dict[str, Exception] = {}
        self.futile: set[str] = set()
        self.tries: dict[str, int] = {}
        self.each = OneByOne[str]("duty", self.clock, do=self._do, key=str)

    async def _do(self, item: str) -> None:
        self.tries[item] = self.tries.get(item, 0) + 1
        if item in self.broken:
            raise self.broken[item]
        if item not in self.futile:
            self.due.remove(item)

    async def _list(self, limit: int) -> Sequence[str]:
        return self.due[:limit]

    async def run(self) -> None:
        await self.each.do_all_due(self._list)


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (1, LookupError("odd")),
        (1, FailedPreconditionError("no")),
        (100, FailedPreconditionError("no")),
        (250, FailedPreconditionError("no")),
    ],
)
async def test_the_others_are_done(broken: int, error: Exception) -> None:
    work = Work(500)
    work.broken = dict.fromkeys(work.due[:broken], error)
    await work.run()
    assert work.due == sorted(work.broken)
    assert set(work.tries.values()) == {1}
    # What comes due behind them is done meanwhile.
    work.due.append("later")
    await work.run()
    assert work.due == sorted(work.broken)
    assert work.each.when(work.clock.now()) == work.clock.now() + timedelta(seconds=1)


async def test_what_failed_is_tried_again_ever_more_rarely() -> None:
    work = Work(3)
    work.broken = {"0001": DistconvError("broken")}
    for _ in range(600):
        await work.run()
        work.clock.advance(timedelta(seconds=1))
    assert 10 <= work.tries["0001"] <= 20
    work.broken.clear()
    work.clock.advance(timedelta(minutes=1))
    await work.run()
    assert not work.due
    assert work.each.when(None) is None
    later = work.clock.now() + timedelta(hours=1)
    assert work.each.when(later) == later


async def test_what_comes_to_nothing_is_not_done_for_ever() -> None:
    work = Work(3)
    work.futile = {"0000"}
    await work.run()
    assert work.due == ["0000"]
    assert work.tries["0000"] == 1
