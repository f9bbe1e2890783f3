"""How long the work of an engine that is gone waits, with the settings that ship."""

import asyncio
import sys
import time
from pathlib import Path

import pytest
from tests.e2e.conftest import Clips
from tests.e2e.faults.conftest import Fleet, until

from distconv.client import Client, JobState
from distconv.core.profiles import load_profile_file

WITHIN_S = 30.0


async def test_the_work_of_a_lost_engine_runs_elsewhere_within_half_a_minute(
    fleet: Fleet,
    clips: Clips,
    slow_profile: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fleet.add_replica()
    fleet.add_replica()
    first = fleet.add_engine()
    [profile] = load_profile_file(slow_profile)
    async with Client(fleet.addresses) as client:
        source = await client.upload(clips.long)
        job = await client.create_job(source=source, profile=profile)
        await until(client, job.name, JobState.TRANSCODING)
        second = await asyncio.to_thread(fleet.add_engine)
        begin = time.monotonic()
        first.kill()
        await until(client, job.name, JobState.TRANSCODING, second.ready["engine"])
        took_s = time.monotonic() - begin
        await client.cancel_job(job.name)
    with capsys.disabled():
        sys.stdout.write(f"\n  a killed engine's work runs elsewhere after {took_s:.1f} s\n")
    assert took_s <= WITHIN_S
