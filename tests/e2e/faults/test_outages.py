"""What a fleet does while its database or its bus is away, and when a replica goes."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.e2e.conftest import Clips
from tests.e2e.faults.conftest import DaemonEndedError, Fleet, until

from distconv.client import Client, Job, JobState
from distconv.core.errors import UnavailableError
from distconv.core.profiles import load_profile_file
from servers import PostgresqlServer

PACE = {"heartbeat_interval_s": 1.0, "lease_duration_s": 5.0, "presence_interval_s": 1.0}
# Longer than a lease: whoever took silence for death would take the work away.
OUTAGE_S = 7.0
FAST_S = 3.0


@pytest.fixture(scope="session")
def steady_profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile that keeps an engine busy for some seconds."""
    path = tmp_path_factory.mktemp("profiles") / "steady.toml"
    path.write_text('[steady]\nextends = "h264"\nvideo = { preset = "medium", threads = 1 }\n')
    return path


async def _begin(client: Client, clips: Clips, profile: Path) -> Job:
    """Start a job and return it once it is being encoded."""
    [steady] = load_profile_file(profile)
    source = await client.upload(clips.long)
    job = await client.create_job(source=source, profile=steady)
    return await until(client, job.name, JobState.TRANSCODING)


async def _refused_fast(call: Callable[[], Awaitable[object]]) -> str:
    """Return why a call is refused, which it has to be at once."""
    begin = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        await call()
    assert time.monotonic() - begin <= FAST_S
    return caught.value.message


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_without_the_database_calls_fail_fast_and_engines_go_on(
    fleet: Fleet, clips: Clips, steady_profile: Path, how: str
) -> None:
    fleet.add_replica(**PACE)
    engine = fleet.add_engine()
    async with Client(fleet.addresses) as client, Client(fleet.addresses) as impatient:
        job = await _begin(client, clips, steady_profile)
        source = await client.upload(clips.tiny)
        _take_away(fleet.postgresql, how)
        back_time = time.monotonic() + OUTAGE_S
        said = await _refused_fast(lambda: impatient.get_job(job.name))
        assert "PostgreSQL" in said or "database" in said
        with pytest.raises(UnavailableError):
            async with Client(fleet.addresses, reconnect=timedelta(0)) as hasty:
                await hasty.create_job(source=source, profile="copy", request_id="once")
        await asyncio.sleep(max(0.0, back_time - time.monotonic()))
        await asyncio.to_thread(_give_back, fleet.postgresql, how)
        # By itself: the same call again makes the job that was refused, and the encode goes on.
        second = await _patiently(
            lambda: client.create_job(source=source, profile="copy", request_id="once")
        )
        done = await until(client, job.name, JobState.COMPLETED)
        assert done.attempt_count == 2  # the probe and the encode
        await until(client, second.name, JobState.COMPLETED)
        assert len([job async for job in client.list_jobs()]) == 2
    assert engine.log_count("session_opened") == 1


async def test_without_the_bus_everything_works(fleet: Fleet, clips: Clips) -> None:
    fleet.add_replica(**PACE)
    fleet.add_replica(**PACE)
    fleet.add_engine()
    fleet.nats.kill()
    # Created at one replica, encoded through whichever holds the engine: the sweep finds it.
    for address in fleet.addresses:
        async with Client(address) as client:
            source = await client.upload(clips.tiny)
            job = await client.create_job(source=source, profile="h264")
            await until(client, job.name, JobState.COMPLETED)


async def test_a_stopping_replica_hands_its_engines_over(
    fleet: Fleet, clips: Clips, steady_profile: Path
) -> None:
    first = fleet.add_replica(**PACE)
    engine = fleet.add_engine()
    second = fleet.add_replica(**PACE)
    async with Client(fleet.addresses) as client:
        job = await _begin(client, clips, steady_profile)
        begin = time.monotonic()
        code = await asyncio.to_thread(first.stop)
        assert code == 0
        assert time.monotonic() - begin < 10
        done = await until(client, job.name, JobState.COMPLETED)
    assert done.attempt_count == 2
    assert engine.log_count("dispatch_drains") == 1
    # The engine was never told of the second: the drain named it.
    assert second.log_count("engine_connected") >= 1


async def test_engines_of_a_killed_replica_come_to_another_within_seconds(
    fleet: Fleet, clips: Clips, steady_profile: Path
) -> None:
    replicas = [fleet.add_replica(**PACE), fleet.add_replica(**PACE)]
    engine = fleet.add_engine()
    holder, other = sorted(replicas, key=lambda r: -r.log_count("engine_connected"))
    async with Client(fleet.addresses) as client:
        job = await _begin(client, clips, steady_profile)
        begin = time.monotonic()
        holder.kill()
        while not other.log_count("engine_connected"):
            assert time.monotonic() - begin < 5
            await asyncio.sleep(0.05)
        done = await until(client, job.name, JobState.COMPLETED)
    assert done.attempt_count == 2
    assert engine.log_count("attempt_stale") == 0


async def test_a_frozen_replica_that_goes_on_takes_nothing_away(
    fleet: Fleet, clips: Clips, steady_profile: Path
) -> None:
    replica = fleet.add_replica(**PACE)
    engine = fleet.add_engine()
    async with Client(fleet.addresses, reconnect=timedelta(seconds=60)) as client:
        job = await _begin(client, clips, steady_profile)
        os.kill(replica.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(OUTAGE_S)
        finally:
            os.kill(replica.pid, signal.SIGCONT)
        done = await until(client, job.name, JobState.COMPLETED)
    assert done.attempt_count == 2  # the probe and the encode, which went on meanwhile
    assert replica.log_count("lease_expired") == 0
    assert engine.log_count("attempt_stale") == 0


def test_replicas_that_cannot_work_together_are_refused(fleet: Fleet, tmp_path: Path) -> None:
    fleet.add_replica()
    other_key = tmp_path / "other.key"
    other_key.write_bytes(b"o" * 32)
    with pytest.raises(DaemonEndedError, match="signs media access with another key"):
        fleet.add_replica(media_key_file=str(other_key))
    with pytest.raises(DaemonEndedError, match="embedded storage"):
        fleet.add_replica(storage_addresses=[])


def _take_away(server: PostgresqlServer, how: str) -> None:
    if how == "killed":
        server.kill()
    else:
        server.freeze()


def _give_back(server: PostgresqlServer, how: str) -> None:
    if how == "killed":
        server.start()
    else:
        server.thaw()


async def _patiently(call: Callable[[], Awaitable[Job]]) -> Job:
    async with asyncio.timeout(30):
        while True:
            try:
                return await call()
            except UnavailableError:
                await asyncio.sleep(0.2)
