"""The pool of idle runners, with runners that cost nothing."""

import asyncio
from typing import Any

import pytest
import structlog

from distconv.core.errors import EncodeFailedError
from distconv.engine import runner_pool
from distconv.engine.runner_pool import RunnerPool
from distconv.media.child import Exit


class FakeRunner:
    pid = 1

    def __init__(self) -> None:
        self.exited = False

    def cancel(self) -> None:
        self.exited = True

    async def stop(self, grace_s: float) -> Exit:
        self.exited = True
        return Exit(code=0, cpu_time_s=0, peak_memory_bytes=0)


class Factory:
    def __init__(self) -> None:
        self.made: list[FakeRunner] = []
        self.broken = False
        self.called = asyncio.Event()

    def __call__(self) -> FakeRunner:
        self.called.set()
        if self.broken:
            raise EncodeFailedError("no more processes")
        self.made.append(FakeRunner())
        return self.made[-1]


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(runner_pool, "REFILL_DELAY_S", 0)


def pool_of(factory: Factory, total: int) -> Any:
    return RunnerPool(factory, total=total)  # type: ignore[arg-type]


async def test_a_lent_runner_is_replaced_once_it_has_ended(at_once):
    factory = Factory()
    pool = pool_of(factory, 2)
    pool.fill()
    assert len(factory.made) == 2
    assert pool.take() is factory.made[0]
    pool.fill()  # no more than two in all, the lent one among them
    assert len(factory.made) == 2
    factory.called.clear()
    pool.give_back()
    await asyncio.wait_for(factory.called.wait(), 5)
    assert len(factory.made) == 3
    await pool.close()
    assert [r.exited for r in factory.made] == [False, True, True]  # the lent one is not ours


async def test_a_runner_that_died_idle_is_not_lent():
    factory = Factory()
    pool = pool_of(factory, 1)
    pool.fill()
    factory.made[0].exited = True
    assert pool.take() is factory.made[1]
    await pool.close()


async def test_an_empty_pool_starts_one_at_once():
    factory = Factory()
    pool = pool_of(factory, 1)
    assert pool.take() is factory.made[0]
    await pool.close()


async def test_a_machine_that_starts_nothing_is_tried_again(at_once):
    factory = Factory()
    factory.broken = True
    pool = pool_of(factory, 1)
    with structlog.testing.capture_logs() as logs:
        pool.fill()
        with pytest.raises(EncodeFailedError):
            pool.take()
        factory.broken = False
        factory.called.clear()
        await asyncio.wait_for(factory.called.wait(), 5)
    assert logs[0]["event"] == "runner_not_started"
    assert pool.take() is factory.made[0]
    await pool.close()
