"""Follow a job's output while it is written, whichever attempt writes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from distconv.client.followed import FollowedFile
from distconv.client.job import Job, JobOutput
from distconv.client.local import with_need
from distconv.client.stored import StoredObject, Transfer
from distconv.core.errors import DiskFullError, DistconvError
from distconv.core.states import JobState
from distconv.core.task_states import TaskKind

if TYPE_CHECKING:
    from distconv.client.client import Client

_WRITING = (JobState.TRANSCODING, JobState.COMPLETING)


class OutputFollower:
    """Told of every snapshot of a job, follow the output of the attempt that is at work.

    When that is another than before, begin anew. That it does not succeed is no
    error: `place` fetches the output in any case. With `resume` what was fetched and is
    not in its place stays beside it, for the next follower of the same job.
    """

    def __init__(
        self,
        client: Client,
        path: Path,
        *,
        overwrite: bool,
        resume: bool,
        on_progress: Callable[[Transfer], None],
    ) -> None:
        self._client = client
        self._path = path
        self._overwrite = overwrite
        self._resume = resume
        self._on_progress = on_progress
        self._attempt_count = 0
        self._following: asyncio.Task[None] | None = None
        self._followed: FollowedFile | None = None
        self._stored: StoredObject | None = None

    async def note(self, job: Job) -> None:
        """Take a snapshot of the job."""
        if job.state in _WRITING and job.attempt_count != self._attempt_count:
            self._attempt_count = job.attempt_count
            await self.close(drop=True)
            self._following = asyncio.create_task(self._follow(job.name), name="follow the output")

    async def place(self, output: JobOutput) -> None:
        """Put the published output at its path. Raises what `Client.download` does."""
        try:
            await self._place(output)
        except DiskFullError as error:
            raise self._told(error, output.size_bytes) from error.__cause__

    def _told(self, error: DiskFullError, size_bytes: int) -> DiskFullError:
        folder = self._path.resolve().parent
        return with_need(error, f"the output '{self._path}'", folder, size_bytes)

    async def _place(self, output: JobOutput) -> None:
        if self._following is not None:
            await asyncio.wait([self._following])
        if self._followed is None or self._followed.name != output.object:
            await self.close(drop=True)
            with suppress(DistconvError):  # the download says why, or can do without
                await self._open(output.object)
        followed = self._followed
        if followed is not None and (self._stored is not None or followed.followed_bytes):
            # What was followed only in part, by an earlier one too, spares what it can.
            await followed.place(self._stored or await self._client.get_object(output.object))
            return
        if followed is not None:
            followed.drop()
        await self._client.download(
            output.object,
            self._path,
            overwrite=self._overwrite,
            resume=self._resume and followed is not None,
            on_progress=self._on_progress,
        )

    async def close(self, *, drop: bool) -> None:
        """Let go of what was followed, and leave nothing of it if told; harmless when repeated."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None
        followed, self._followed, self._stored = self._followed, None, None
        if followed is not None:
            if drop:
                followed.drop()
            await followed.__aexit__(None, None, None)

    async def _follow(self, job: str) -> None:
        try:
            name = await self._output_of(job)
            if not name:
                return
            self._stored = await (await self._open(name)).follow()
        except DistconvError:
            # Given up, lost, or no room: another attempt follows, or the output is fetched whole.
            return

    async def _open(self, name: str) -> FollowedFile:
        followed = self._client.followed(
            name,
            self._path,
            overwrite=self._overwrite,
            resume=self._resume,
            on_progress=self._on_progress,
        )
        self._followed = await followed.__aenter__()
        return followed

    async def _output_of(self, job: str) -> str:
        """Return the object that the attempt at work writes; empty when there is none."""
        for task in await self._client.list_tasks(job):
            if task.kind is TaskKind.TRANSCODE and task.attempts:
                return task.attempts[-1].object
        return ""
