"""Steering over the SDK: what is sent, and what comes back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from distconv.client import Client, JobState, NewJob, TransferMode
from distconv.client.testing import FakeSystem
from distconv.core.engine import EngineState
from distconv.core.errors import FailedPreconditionError, NotFoundError
from distconv.v1 import engine_pb2


async def _waiting(fake: FakeSystem, client: Client, video: Path) -> str:
    fake.state.held = True
    stored = await client.upload(video)
    job = await client.create_job(
        source=stored,
        profile="h264",
        engine_tags=["gpu"],
        transfer_mode=TransferMode.FILE,
        deadline=datetime(2100, 1, 1, tzinfo=UTC),
    )
    assert job.engine_tags == ("gpu",)
    assert job.transfer_mode is TransferMode.FILE
    assert job.deadline == datetime(2100, 1, 1, tzinfo=UTC)
    return job.id


async def test_a_job_is_held_changed_ended_and_begun_again(
    fake: FakeSystem, client: Client, video: Path
) -> None:
    name = await _waiting(fake, client, video)
    assert (await client.pause_job(name)).state is JobState.PAUSED
    changed = await client.update_job(name, priority=3, labels={"a": "b"}, deadline=None)
    assert (changed.priority, changed.labels, changed.deadline) == (3, {"a": "b"}, None)
    assert changed.engine_tags == ("gpu",)
    assert (await client.update_job(name, transfer_mode=None)).transfer_mode is None
    assert (await client.update_job(name, ttl=timedelta(hours=1))).ttl == timedelta(hours=1)
    assert (await client.resume_job(name)).state is JobState.PENDING
    with pytest.raises(FailedPreconditionError):
        await client.resume_job(name)
    await client.cancel_job(name)
    assert (await client.retry_job(name)).state is JobState.PENDING
    await client.cancel_job(name)
    assert (await client.delete_job(name)).delete_time is not None


async def test_a_job_is_explained_and_assigned(
    fake: FakeSystem, client: Client, video: Path
) -> None:
    fake.state.engines.append(
        engine_pb2.Engine(name="engines/e1", state=engine_pb2.ENGINE_STATE_ONLINE)
    )
    name = await _waiting(fake, client, video)
    explained = await client.explain_job(name)
    assert explained.summary == "no engine is connected"
    assert [fit.engine for fit in explained.engines] == ["engines/e1"]
    assert (await client.assign_job(name, "e1")).id == name
    with pytest.raises(NotFoundError):
        await client.assign_job(name, "zz")


async def test_many_jobs_are_created_in_order(
    fake: FakeSystem, client: Client, video: Path
) -> None:
    fake.state.held = True
    stored = await client.upload(video)
    new = [NewJob(source=stored, profile="h264", priority=k) for k in range(5)]
    names = [name async for name in client.create_jobs(new)]
    assert [(await client.get_job(name)).priority for name in names] == [0, 1, 2, 3, 4]


async def test_engines_are_taken_out_and_revoked(fake: FakeSystem, client: Client) -> None:
    fake.state.engines.append(
        engine_pb2.Engine(name="engines/e1", state=engine_pb2.ENGINE_STATE_ONLINE)
    )
    out = await client.set_engine_maintenance("e1", maintenance=True)
    assert out.maintenance
    assert out.state is EngineState.MAINTENANCE
    back = await client.set_engine_maintenance("engines/e1", maintenance=False)
    assert back.state is EngineState.ONLINE
    assert (await client.revoke_engine("e1")).state is EngineState.REVOKED
