"""Upload, create, follow and download as one piece of work that can be called off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from distconv.client.failures import JobCancelledError, JobFailedError
from distconv.client.job import Job, JobOutput
from distconv.client.local import check_output, check_source
from distconv.client.stored import Transfer
from distconv.core.errors import DistconvError, InternalError
from distconv.core.profile import Container, Profile
from distconv.core.states import JobState

if TYPE_CHECKING:
    from distconv.client.client import Client

# Whoever presses Ctrl-C waits for no longer; what is then left running the server ends.
_CALL_OFF_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscodeResult:
    """What came of it: the finished job, and where its output lies now."""

    job: Job
    output: JobOutput
    path: Path


class Transcoding:
    """One transcode under way, from a local file to a local file."""

    def __init__(
        self, client: Client, *, keep: bool, on_progress: Callable[[Transfer | Job], None]
    ) -> None:
        self._client = client
        self._keep = keep
        self._on_progress = on_progress
        self._disposable: list[str] = []

    async def run(
        self,
        source: Path,
        output: Path,
        *,
        profile: str | Profile,
        container: Container | None,
        overwrite: bool,
        priority: int,
        labels: Mapping[str, str] | None,
    ) -> TranscodeResult:
        """Do it; see `Client.transcode`."""
        await asyncio.to_thread(check_source, source)
        await asyncio.to_thread(check_output, output, overwrite=overwrite, source=source)
        try:
            stored = await self._client.upload(source, on_progress=self._on_progress)
            self._disposable.append(stored.name)
            creating = self._client.create_job(
                source=stored,
                profile=profile,
                file_name=source.name,
                container=container,
                priority=priority,
                labels=labels,
            )
            job = await self._created_or_called_off(asyncio.ensure_future(creating))
            # From here on the job needs its source, until it is known to have ended.
            self._disposable.clear()
            job, result = await self._finished_or_called_off(job)
            await self._client.download(
                result.object, output, overwrite=overwrite, on_progress=self._on_progress
            )
            self._disposable.append(result.object)
        finally:
            await asyncio.shield(self._tidy())
        return TranscodeResult(job=job, output=result, path=output)

    async def _created_or_called_off(self, creating: asyncio.Future[Job]) -> Job:
        """Return the new job; when called off meanwhile, cancel it if it came to be."""
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            with suppress(DistconvError, TimeoutError):
                job = await asyncio.wait_for(creating, _CALL_OFF_S)
                await self._call_off(job)
            raise

    async def _finished_or_called_off(self, job: Job) -> tuple[Job, JobOutput]:
        try:
            return await self._finished(job)
        except asyncio.CancelledError:
            await asyncio.shield(self._call_off(job))
            raise

    async def _finished(self, job: Job) -> tuple[Job, JobOutput]:
        self._on_progress(job)
        async for snapshot in self._client.watch_job(job.name):
            job = snapshot
            self._on_progress(job)
        self._disposable.append(job.source.object)
        if job.state is JobState.FAILED:
            raise JobFailedError(job)
        if job.state is JobState.CANCELLED:
            raise JobCancelledError(job)
        if job.output is None:
            raise InternalError(f"job {job.id} ended in {job.state} without an output")
        return job, job.output

    async def _call_off(self, job: Job) -> None:
        # A job that has ended meanwhile needs no cancelling; a server that is gone cannot.
        with suppress(DistconvError):
            await self._client.cancel_job(job.name, timeout_s=_CALL_OFF_S)
            self._disposable.append(job.source.object)

    async def _tidy(self) -> None:
        """Delete what only this piece of work needed; what cannot be deleted stays."""
        if self._keep:
            return
        with suppress(DistconvError, TimeoutError):
            async with asyncio.timeout(_CALL_OFF_S), asyncio.TaskGroup() as group:
                for name in self._disposable:
                    group.create_task(self._delete(name))

    async def _delete(self, name: str) -> None:
        with suppress(DistconvError):
            await self._client.delete_object(name, timeout_s=_CALL_OFF_S)
