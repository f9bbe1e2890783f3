"""What users of the SDK see through mypy: `make type` checks these, running them proves little."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, assert_type

import distconv.client
from distconv.client import Client, Job, StoredObject
from distconv.core.states import JobState

if TYPE_CHECKING:

    async def use(client: Client) -> None:
        """Use the SDK as its users do."""
        stored = await client.upload(Path("film.mkv"))
        assert_type(stored, StoredObject)
        job = await client.create_job(source=stored, profile="h264-720p")
        assert_type(job, Job)
        assert_type(job.state, JobState)
        assert_type(client.watch_job(job.name), AsyncGenerator[Job, None])
        async for snapshot in client.watch_job(job.name):
            assert_type(snapshot, Job)


def test_everything_that_is_promised_is_there() -> None:
    for name in distconv.client.__all__:
        assert getattr(distconv.client, name).__doc__, f"{name} has no docstring"
