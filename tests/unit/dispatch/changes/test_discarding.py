"""What becomes of an output that did not win."""

from datetime import UTC, datetime, timedelta

import pytest

from distconv.core.attempt_states import AttemptState
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.changes.signals import Signals
from distconv.dispatch.store.memory import MemoryStore
from distconv.dispatch.store.records import AttemptRecord
from distconv.dispatch.testing import ManualClock

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
TTL = timedelta(hours=1)


@pytest.mark.parametrize(
    ("made", "may_still_write", "final"),
    [
        (NOW - timedelta(minutes=5), False, NOW),
        (NOW - timedelta(minutes=5), True, NOW + TTL),
        # The clock was put back since: the token holds until the attempt's time and its span.
        (NOW + timedelta(minutes=2), True, NOW + timedelta(minutes=2) + TTL),
    ],
)
async def test_it_is_deleted_for_good_once_its_token_holds_no_more(
    made: datetime, may_still_write: bool, final: datetime
):
    store = MemoryStore()
    changes = Changes(store, Signals(), ManualClock(NOW), media_ttl=TTL)
    attempt = AttemptRecord(
        id="a",
        tenant="t",
        job_id="j",
        task_id="k",
        engine_id="e",
        state=AttemptState.LOST,
        fencing_token=1,
        lease_expire_time=None,
        object_id="o",
        create_time=made,
    )

    async def discard(change: Change) -> None:
        await change.discard_output(attempt, may_still_write=may_still_write)

    await changes.make(discard)
    (garbage,) = await store.list_due_garbage(NOW, limit=9)
    assert (garbage.due_time, garbage.final_time) == (NOW, final)
