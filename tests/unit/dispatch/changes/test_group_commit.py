"""Changes that share a transaction: each whole or not at all, none harmed by another."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.core.errors import AlreadyExistsError, UnavailableError
from distconv.dispatch.changes import pauses
from distconv.dispatch.changes.group_commit import GroupCommit
from distconv.dispatch.store.failures import (
    ConflictError,
    ConnectionLostError,
    UnclearCommitError,
)
from distconv.dispatch.store.keys import NO_KEYS, Keys
from distconv.dispatch.store.memory import MemoryStore
from distconv.dispatch.store.records import (
    AccountRecord,
    GarbageRecord,
    OutboxRecord,
    RequestRecord,
)
from distconv.dispatch.store.transaction import Transaction

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True, scope="module")
def without_pauses() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pauses, "_FIRST_S", 0.0)
        yield


class Body:
    """A body made of a function; counts its runs and what it was told."""

    def __init__(self, fn: Callable[[Transaction], Awaitable[Any]]) -> None:
        self.fn = fn
        self.run_count = 0
        self.commit_count = 0

    async def run(self, tx: Transaction) -> Any:
        self.run_count += 1
        return await self.fn(tx)

    def committed(self) -> None:
        self.commit_count += 1


class CountingStore(MemoryStore):
    """A store that counts transactions, and whose commits can be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.transaction_count = 0
        self.failures: list[Exception] = []
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()

    @asynccontextmanager
    async def transaction(self, keys: Keys | None = None) -> AsyncIterator[Any]:
        self.transaction_count += 1
        self.entered.set()
        async with super().transaction(keys) as tx:
            yield tx
            if self.gate is not None:
                await self.gate.wait()
            if self.failures:
                raise self.failures.pop(0)


def count_up(by: float = 1, *, fails: bool = False) -> Body:
    async def fn(tx: Transaction) -> float:
        known = await tx.get_account("t", 0)
        await tx.put_account(replace(known, finish_rank=known.finish_rank + by))
        await tx.add_event(OutboxRecord(tenant="t", type="x", subject="s", payload={}, time=NOW))
        await tx.put_garbage(
            GarbageRecord(object_id=str(by), tenant="t", due_time=NOW, final_time=NOW)
        )
        if fails:
            raise LookupError(str(by))
        return known.finish_rank

    return Body(fn)


async def run_all(group: GroupCommit, bodies: list[Body]) -> list[Any]:
    return await asyncio.gather(
        *(group.run(body, NO_KEYS) for body in bodies), return_exceptions=True
    )


async def rank(store: MemoryStore) -> float:
    return sum(tenant.finish_rank for tenant in await store.list_accounts())


async def test_changes_that_meet_share_a_transaction() -> None:
    store = CountingStore()
    bodies = [count_up() for _ in range(20)]
    answers = await run_all(GroupCommit(store), bodies)
    assert answers == list(range(20))  # each sees what those before it wrote
    assert store.transaction_count == 1
    assert await rank(store) == 20
    assert all(body.run_count == body.commit_count == 1 for body in bodies)


@given(fates=st.lists(st.booleans(), min_size=1, max_size=12))
async def test_one_that_raises_leaves_nothing_and_harms_nobody(fates: list[bool]) -> None:
    store = CountingStore()
    bodies = [count_up(2**k, fails=fails) for k, fails in enumerate(fates)]
    answers = await run_all(GroupCommit(store), bodies)
    total = 0
    for k, (fails, answer, body) in enumerate(zip(fates, answers, bodies, strict=True)):
        if fails:
            assert isinstance(answer, LookupError)
            assert body.commit_count == 0
        else:
            assert answer == total
            assert body.commit_count == 1
            total += 2**k
    assert await rank(store) == total
    assert len(await store.list_events(limit=99)) == fates.count(False)
    assert len(await store.list_due_garbage(NOW, limit=99)) == fates.count(False)


@given(
    culprits=st.sets(st.integers(0, 9), max_size=4),
    conflicts=st.lists(
        st.sampled_from([ConflictError("in the way"), ConnectionLostError("broke")]), max_size=3
    ),
)
async def test_a_refused_group_is_parted_until_the_culprit_stands_alone(
    culprits: set[int], conflicts: list[Exception]
) -> None:
    store = CountingStore()
    request = RequestRecord(
        tenant="t", request_id="r", method="m", digest="d", job_id="", create_time=NOW
    )
    async with store.transaction() as tx:
        await tx.add_request(request)

    def repeating() -> Body:
        async def fn(tx: Transaction) -> None:
            await tx.put_account(AccountRecord(urgency=0, tenant="t", finish_rank=-1000))
            await tx.add_request(request)  # told of at the commit alone

        return Body(fn)

    store.failures = list(conflicts)
    bodies = [repeating() if k in culprits else count_up() for k in range(10)]
    answers = await run_all(GroupCommit(store), bodies)
    for k, answer in enumerate(answers):
        assert isinstance(answer, AlreadyExistsError) == (k in culprits)
        assert bodies[k].commit_count == (k not in culprits)
    assert await rank(store) == 10 - len(culprits)


async def test_a_database_that_is_away_fails_all_at_once() -> None:
    store = CountingStore()
    store.failures = [UnavailableError("away")]
    bodies = [count_up() for _ in range(5)]
    answers = await run_all(GroupCommit(store), bodies)
    assert all(isinstance(answer, UnavailableError) for answer in answers)
    assert store.transaction_count == 1
    assert not any(body.commit_count for body in bodies)
    assert await rank(store) == 0


async def test_a_commit_whose_answer_was_lost_is_told_of_and_not_repeated() -> None:
    store = CountingStore()
    store.failures = [UnclearCommitError("no answer")]
    unclear: list[None] = []
    group = GroupCommit(store, on_unclear=lambda: unclear.append(None))
    bodies = [count_up() for _ in range(3)]
    answers = await run_all(group, bodies)
    assert all(isinstance(answer, UnclearCommitError) for answer in answers)
    assert len(unclear) == store.transaction_count == 1


async def test_conflicts_are_tried_a_bounded_number_of_times() -> None:
    store = CountingStore()
    store.failures = [ConflictError("in the way")] * 100
    with pytest.raises(ConflictError):
        await GroupCommit(store).run(count_up(), NO_KEYS)
    assert 1 < store.transaction_count < 20


class LockedStore(CountingStore):
    """A store of which someone else holds rows: whoever asks for one waits, and is refused."""

    def __init__(self, *locked: str) -> None:
        super().__init__()
        self.locked = set(locked)
        self.refusal_count = 0
        self.refused = asyncio.Event()

    @asynccontextmanager
    async def transaction(self, keys: Keys | None = None) -> AsyncIterator[Any]:
        if keys is not None and self.locked.intersection(keys.jobs + keys.tenants):
            self.refusal_count += 1
            self.refused.set()
            await asyncio.sleep(0)
            raise ConflictError("in the way")
        async with super().transaction(keys) as tx:
            yield tx


async def test_only_what_meets_a_lock_waits_for_it() -> None:
    store = LockedStore("j7")
    group = GroupCommit(store)
    bodies = [count_up() for _ in range(40)]
    tasks = [
        asyncio.create_task(group.run(body, Keys(jobs=(f"j{k}",)))) for k, body in enumerate(bodies)
    ]
    answers = await asyncio.wait_for(
        asyncio.gather(*(task for k, task in enumerate(tasks) if k != 7)), 5
    )
    assert sorted(answers) == list(range(39))
    assert not tasks[7].done()
    assert await group.run(count_up(), Keys(jobs=("j1",))) == 39  # and what comes then
    store.locked.clear()
    assert await tasks[7] == 40


async def test_what_is_about_the_same_waits_behind_it_and_costs_the_others_nothing() -> None:
    store = LockedStore("j")
    group = GroupCommit(store)
    order: list[int] = []

    def noting(number: int) -> Body:
        async def fn(_: Transaction) -> None:
            order.append(number)

        return Body(fn)

    first = asyncio.create_task(group.run(noting(1), Keys(jobs=("j",))))
    await store.refused.wait()
    for _ in range(3):
        await group.run(count_up(), NO_KEYS)
    behind = [asyncio.create_task(group.run(noting(k), Keys(jobs=("j",)))) for k in (2, 3)]
    await group.run(count_up(), NO_KEYS)
    with pytest.raises(ConflictError):
        await group.run(noting(9), Keys(jobs=("j",)), patient=False)
    store.locked.clear()
    await asyncio.gather(first, *behind)
    assert order == [1, 2, 3]


async def test_what_waits_behind_a_lock_ends_with_it() -> None:
    store = LockedStore("t")
    group = GroupCommit(store)
    keys = Keys(tenants=("t",))
    answers = await asyncio.gather(
        *(group.run(count_up(), keys) for _ in range(9)), return_exceptions=True
    )
    assert all(isinstance(answer, ConflictError) for answer in answers)
    assert store.refusal_count < 40
    with pytest.raises(ConflictError):
        await group.run(count_up(), keys, patient=False)
    store.locked.clear()
    assert await group.run(count_up(), keys) == 0


async def test_a_caller_that_goes_away_from_a_lock_withdraws_what_waits_behind_it() -> None:
    store = LockedStore("j")
    group = GroupCommit(store)
    first = asyncio.create_task(group.run(count_up(), Keys(jobs=("j",))))
    await store.refused.wait()
    behind = asyncio.create_task(group.run(count_up(), Keys(jobs=("j",))))
    await asyncio.sleep(0)
    behind.cancel()
    with pytest.raises(asyncio.CancelledError):
        await behind
    store.locked.clear()
    await first
    assert await rank(store) == 1


async def test_what_comes_meanwhile_forms_the_next_group() -> None:
    store = CountingStore()
    store.gate = asyncio.Event()
    group = GroupCommit(store)
    first = asyncio.create_task(group.run(count_up(), NO_KEYS))
    await store.entered.wait()
    rest = [asyncio.create_task(group.run(count_up(), NO_KEYS)) for _ in range(10)]
    await asyncio.sleep(0)
    store.gate.set()
    await asyncio.gather(first, *rest)
    assert store.transaction_count == 2


async def test_a_caller_that_goes_away_hurts_nobody() -> None:
    store = CountingStore()
    store.gate = asyncio.Event()
    group = GroupCommit(store)
    begun = [asyncio.create_task(group.run(count_up(1), NO_KEYS)) for _ in range(3)]
    await store.entered.wait()
    waiting = [asyncio.create_task(group.run(count_up(10), NO_KEYS)) for _ in range(3)]
    await asyncio.sleep(0)
    begun[1].cancel()
    waiting[1].cancel()
    await asyncio.sleep(0)
    assert not begun[1].done()  # it goes on to its end first
    store.gate.set()
    answers = await asyncio.gather(*begun, *waiting, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [
        False, True, False, False, True, False,
    ]  # fmt: skip
    # What had begun was made, what had not was withdrawn.
    assert await rank(store) == 23


async def test_a_group_tells_the_store_beforehand_what_it_reads() -> None:
    merged = Keys.merge(
        [
            Keys(attempts=("b", "a"), tenants=("t",)),
            Keys(attempts=("a", ""), jobs=("j",), with_plan=True),
        ]
    )
    assert merged == Keys(attempts=("a", "b"), jobs=("j",), tenants=("t",), with_plan=True)
