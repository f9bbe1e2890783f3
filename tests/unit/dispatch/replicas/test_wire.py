from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.core.attempt_states import AttemptState
from distconv.core.errors import InvalidArgumentError
from distconv.core.progress import JobProgress
from distconv.dispatch.changes.signals import Effects, Quarantine, Stop, Topic
from distconv.dispatch.replicas.wire import pack_effects, pack_progress, unpack
from distconv.dispatch.store.records import AttemptRecord

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
ids = st.text("0123456789abc", min_size=16, max_size=16)
attempts = st.builds(
    AttemptRecord,
    id=ids,
    tenant=st.text(min_size=1, max_size=9),
    job_id=ids,
    task_id=ids,
    engine_id=ids,
    state=st.sampled_from(AttemptState),
    fencing_token=st.integers(1, 1 << 40),
    lease_expire_time=st.none(),
    create_time=st.just(NOW),
)
effects = st.builds(
    Effects,
    topics=st.sets(st.sampled_from(Topic)),
    changed_jobs=st.sets(ids),
    ended_jobs=st.sets(ids),
    ended_attempts=st.lists(attempts, max_size=3),
    changed_engines=st.sets(ids),
    quarantines=st.lists(
        st.builds(Quarantine, engine_id=ids, until=st.just(NOW), reason=st.text(max_size=9)),
        max_size=2,
    ),
    stops=st.lists(st.builds(Stop, attempt=attempts, reason=st.text(max_size=20)), max_size=3),
)


@given(effects)
def test_effects_come_back(told: Effects):
    hints = [unpack(data) for data in pack_effects("r1", told)]
    got = hints[0].effects
    assert got is not None
    assert hints[0].replica_id == "r1"
    assert len(hints) == 1
    assert got == replace(told, changed_jobs=told.changed_jobs | told.ended_jobs)


def test_many_jobs_are_split():
    told = Effects(
        changed_jobs={f"{k:016d}" for k in range(12_000)}, ended_jobs={f"{k:016d}" for k in (5, 6)}
    )
    messages = list(pack_effects("r", told))
    assert len(messages) == 3
    assert max(map(len, messages)) < 1 << 20
    hints = [unpack(data).effects for data in messages]
    assert set().union(*(h.changed_jobs for h in hints if h)) == told.changed_jobs
    assert set().union(*(h.ended_jobs for h in hints if h)) == told.ended_jobs


def test_progress_comes_back():
    some = {
        "a": JobProgress(),
        "b": JobProgress(
            fraction=0.25,
            frame_count=7,
            fps=24.5,
            speed=1.5,
            out_time=timedelta(seconds=3.5),
            read_bytes=1 << 40,
            written_bytes=9,
            eta=timedelta(seconds=60),
            update_time=NOW,
        ),
    }
    (data,) = pack_progress("r", some)
    assert unpack(data).progress == some
    assert not list(pack_progress("r", {}))


def test_a_topic_of_a_newer_version_is_left_out():
    hint = unpack(b'{"replica":"r","topics":["WORK","TIDYING"]}')
    assert hint.effects == Effects(topics={Topic.WORK})


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[]", b"{}", b'{"replica":"r","attempts":[[1]]}', b'{"progress":3}']
)
def test_what_cannot_be_read_is_refused(data: bytes):
    with pytest.raises(InvalidArgumentError):
        unpack(data)


@given(st.binary(max_size=60))
def test_garbage_is_refused_or_understood(data: bytes):
    with suppress(InvalidArgumentError):
        unpack(data)
