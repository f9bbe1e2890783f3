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
from distconv.client.output_follower import OutputFollower
from distconv.client.stored import StoredObject, Transfer
from distconv.core.errors import DistconvError, InternalError, UploadFailedError
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What a job is to be like, whatever its source."""

    file_name: str
    profile: str | Profile
    container: Container | None
    priority: int
    labels: Mapping[str, str] | None


class Transcoding:
    """One transcode under way, from a local file to a local file."""

    def __init__(
        self,
        client: Client,
        *,
        keep: bool,
        overlap: bool,
        on_progress: Callable[[Transfer | Job], None],
    ) -> None:
        self._client = client
        self._keep = keep
        self._overlap = overlap
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
        order = _Order(
            file_name=source.name,
            profile=profile,
            container=container,
            priority=priority,
            labels=labels,
        )
        follower = OutputFollower(
            self._client, output, overwrite=overwrite, on_progress=self._on_progress
        )
        try:
            if self._overlap:
                job, result = await self._at_once(source, order, follower)
            else:
                job, result = await self._one_by_one(source, order)
            await follower.place(result)
            self._disposable.append(result.object)
        finally:
            await asyncio.shield(self._tidy(follower))
        return TranscodeResult(job=job, output=result, path=output)

    async def _one_by_one(self, source: Path, order: _Order) -> tuple[Job, JobOutput]:
        stored = await self._client.upload(source, on_progress=self._on_progress)
        self._disposable.append(stored.name)
        job = await self._created(stored.name, order)
        return await self._finished_or_called_off(job)

    async def _at_once(
        self, source: Path, order: _Order, follower: OutputFollower
    ) -> tuple[Job, JobOutput]:
        async with self._client.open_upload(source, on_progress=self._on_progress) as upload:
            self._disposable.append(upload.object)
            job = await self._created(upload.object, order)
            sending = asyncio.create_task(upload.send(), name="upload")
            working = asyncio.create_task(
                self._finished_or_called_off(job, follower), name="follow the job"
            )
            try:
                await _either(sending, working)
                return await working
            finally:
                for task in (sending, working):
                    task.cancel()
                await asyncio.gather(sending, working, return_exceptions=True)

    async def _created(self, source: str, order: _Order) -> Job:
        creating = self._client.create_job(
            source=source,
            profile=order.profile,
            file_name=order.file_name,
            container=order.container,
            priority=order.priority,
            labels=order.labels,
        )
        job = await self._created_or_called_off(asyncio.ensure_future(creating))
        # From here on the job needs its source, until it is known to have ended.
        self._disposable.clear()
        return job

    async def _created_or_called_off(self, creating: asyncio.Future[Job]) -> Job:
        """Return the new job; when called off meanwhile, cancel it if it came to be."""
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            with suppress(DistconvError, TimeoutError):
                job = await asyncio.wait_for(creating, _CALL_OFF_S)
                await self._call_off(job)
            raise

    async def _finished_or_called_off(
        self, job: Job, follower: OutputFollower | None = None
    ) -> tuple[Job, JobOutput]:
        try:
            return await self._finished(job, follower)
        except asyncio.CancelledError:
            await asyncio.shield(self._call_off(job))
            raise

    async def _finished(self, job: Job, follower: OutputFollower | None) -> tuple[Job, JobOutput]:
        self._on_progress(job)
        async for snapshot in self._client.watch_job(job.name):
            job = snapshot
            self._on_progress(job)
            if follower is not None:
                await follower.note(job)
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

    async def _tidy(self, follower: OutputFollower) -> None:
        """Delete what only this piece of work needed; what cannot be deleted stays."""
        await follower.close()
        if self._keep:
            return
        with suppress(DistconvError, TimeoutError):
            async with asyncio.timeout(_CALL_OFF_S), asyncio.TaskGroup() as group:
                for name in self._disposable:
                    group.create_task(self._delete(name))

    async def _delete(self, name: str) -> None:
        with suppress(DistconvError):
            await self._client.delete_object(name, timeout_s=_CALL_OFF_S)


async def _either(
    sending: asyncio.Task[StoredObject], working: asyncio.Task[tuple[Job, JobOutput]]
) -> None:
    """Wait until the source is sent, or the job has ended before that.

    Raises why the source could not be sent: the job, whose source failed then,
    only says so.
    """
    await asyncio.wait((sending, working), return_when=asyncio.FIRST_COMPLETED)
    if not sending.done() and _hangs_on_its_source(working):
        await asyncio.wait([sending], timeout=_CALL_OFF_S)
    if sending.done():
        sending.result()


def _hangs_on_its_source(working: asyncio.Task[tuple[Job, JobOutput]]) -> bool:
    error = working.exception()
    failure = error.job.error if isinstance(error, JobFailedError) else None
    return error is None or (failure is not None and failure.reason == UploadFailedError.reason)
