"""A batch of real encodes while every kind of process is killed: nothing lost, nothing twice."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import av
import nats
import pytest
from tests.e2e.conftest import Clips
from tests.e2e.faults.chaos import VICTIMS, Chaos, plan_kills
from tests.e2e.faults.conftest import Fleet

from distconv.client import Client, Job, JobState
from distconv.core.clock import SystemClock
from distconv.core.profile import Profile
from distconv.core.profiles import load_profile_file
from distconv.rpc.channel import bearer_metadata, open_channel
from distconv.rpc.tokens import MediaAction, MediaTokens
from distconv.v1 import storage_service_pb2 as pb
from distconv.v1.storage_service_pb2_grpc import StorageServiceStub

if TYPE_CHECKING:
    from distconv.v1.storage_service_pb2_grpc import StorageServiceAsyncStub

JOB_COUNT = 30
FRAME_COUNT = 50  # 2 s at 25 frames per second
SPAN_S = 20.0
# The seed of a run that failed: the kills come at the same times of the same processes.
SEED = int(os.environ.get("DISTCONV_FAULT_SEED") or random.SystemRandom().randrange(10**6))
# Shorter than the defaults, so that a lease that is lost does not take half the test.
SETTINGS = {
    "heartbeat_interval_s": 1.0,
    "lease_duration_s": 5.0,
    "presence_interval_s": 2.0,
    "retry_first_delay_s": 0.2,
    "retry_max_delay_s": 1.0,
}


@pytest.fixture(scope="session")
def quick_profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profiles") / "quick.toml"
    path.write_text('[quick]\nextends = "h264"\nvideo = { preset = "ultrafast", threads = 1 }\n')
    return path


@pytest.mark.timeout(300)
async def test_a_batch_survives_the_death_of_every_process(
    fleet: Fleet, clips: Clips, quick_profile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        await asyncio.to_thread(fleet.add_replica, **SETTINGS)
    for _ in range(3):
        await asyncio.to_thread(fleet.add_engine)
    [profile] = load_profile_file(quick_profile)
    begin = asyncio.get_running_loop().time()
    chaos = Chaos(fleet, plan_kills(SEED, span_s=SPAN_S))
    async with Client(fleet.addresses, reconnect=timedelta(seconds=60)) as client:
        # Nothing is certain of a server that never answered; from here on breaks are endured.
        await client.server_info()
        killing = asyncio.create_task(chaos.run())
        jobs = await asyncio.gather(
            *(_submit_and_follow(client, clips.tiny, profile, n) for n in range(JOB_COUNT))
        )
        took_s = asyncio.get_running_loop().time() - begin
        chaos.end()
        await killing
        lost = [job for job in jobs if job.state is not JobState.COMPLETED]
        outputs = [job.output.object for job in jobs if job.output is not None]
        winners = [await _winner_count(client, job.name) for job in jobs]
        frames = [await _decode(client, name, fleet.folder / "out.mp4") for name in outputs]
    wanted = {*outputs, *(job.source.object for job in jobs)}
    left = await _settled_objects(fleet, wanted)
    untold = await _untold(fleet, {job.name for job in jobs})
    duplicates = sum(count - 1 for count in winners if count > 1) + len(left - wanted)
    with capsys.disabled():
        kills = ", ".join(f"{name} × {count}" for name, count in sorted(chaos.made.items()))
        sys.stdout.write(
            f"\n  seed {SEED}: {JOB_COUNT} jobs in {took_s:.0f} s; {sum(chaos.made.values())} "
            f"of {len(VICTIMS)} "
            f"kills within them ({kills}); {sum(job.attempt_count for job in jobs)} attempts; "
            f"jobs lost {len(lost)}, duplicates {duplicates}\n"
        )
    told = f"seed {SEED}: DISTCONV_FAULT_SEED={SEED} repeats it; kills: {chaos.log}"
    assert chaos.missed == [], f"the batch was over before; {told}"
    assert [(job.name, job.state, job.error) for job in lost] == [], told
    assert winners == [1] * JOB_COUNT, told
    assert len(set(outputs)) == JOB_COUNT, told
    assert frames == [FRAME_COUNT] * JOB_COUNT, told
    assert left == wanted, told
    assert untold == set(), told


async def _submit_and_follow(client: Client, path: Path, profile: Profile, number: int) -> Job:
    source = await client.upload(path)
    job = await client.create_job(
        source=source,
        profile=profile,
        file_name=f"clip-{number}.mp4",
        max_retries=8,
    )
    async with aclosing(client.watch_job(job.name)) as snapshots:
        async for job in snapshots:  # noqa: B007 - the last one counts
            pass
    return job


async def _winner_count(client: Client, job: str) -> int:
    """Count the attempts whose output was published."""
    tasks = await client.list_tasks(job)
    return sum(
        attempt.state == "SUCCEEDED"
        for task in tasks
        if task.kind == "TRANSCODE"
        for attempt in task.attempts
    )


async def _decode(client: Client, name: str, path: Path) -> int:
    """Count the frames that really come out of an output."""
    await client.download(name, path, overwrite=True)
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


async def _untold(fleet: Fleet, names: set[str]) -> set[str]:
    """Return the jobs of whose end the bus does not tell, though database and bus are back."""
    untold = set(names)
    connection = await nats.connect(fleet.nats.url)
    try:
        stream = await connection.jetstream().pull_subscribe(
            "distconv.events.JobFinished.>", durable="test", stream="DISTCONV_EVENTS"
        )
        while untold:
            for message in await stream.fetch(JOB_COUNT, timeout=20):
                untold.discard((message.headers or {})["ce-subject"])
                await message.ack()
    except TimeoutError:
        pass  # nothing more comes
    finally:
        await connection.close()
    return untold


async def _settled_objects(fleet: Fleet, wanted: set[str]) -> set[str]:
    """Return what storage holds once it holds nothing else, or when that takes too long."""
    deadline = asyncio.get_running_loop().time() + 40
    while True:
        found = {name async for name in _objects(fleet)}
        if found == wanted or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(0.5)


async def _objects(fleet: Fleet) -> AsyncIterator[str]:
    tokens = MediaTokens(fleet.key_file.read_bytes(), SystemClock())
    token, _ = tokens.sign(
        tenant="local",
        subject="test",
        object_id="",
        action=MediaAction.LIST,
        ttl=timedelta(minutes=1),
    )
    page = ""
    async with _storage(fleet) as stub:
        while True:
            answer = await stub.ListObjects(
                pb.ListObjectsRequest(page_token=page), metadata=tuple(bearer_metadata(token))
            )
            for found in answer.objects:
                yield found.name
            if not (page := answer.next_page_token):
                return


@asynccontextmanager
async def _storage(fleet: Fleet) -> AsyncIterator["StorageServiceAsyncStub"]:
    async with open_channel(fleet.storage.ready["address"]) as channel:
        yield StorageServiceStub(channel)
