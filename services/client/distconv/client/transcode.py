"""Upload, create, follow and download as one piece of work that can be called off."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from distconv.client.failures import LOST, JobCancelledError, JobFailedError
from distconv.client.job import Job, JobOutput
from distconv.client.job_start import Begun, JobStart
from distconv.client.local import check_output, check_source
from distconv.client.new_job import NewJob
from distconv.client.output_follower import OutputFollower
from distconv.client.remembered import file_key
from distconv.client.stored import StoredObject, Transfer
from distconv.client.unended_run import UnendedRun
from distconv.core.descriptions import TRANSIENT_LABEL
from distconv.core.errors import (
    DistconvError,
    FailedPreconditionError,
    InternalError,
    UploadFailedError,
)
from distconv.core.states import JobState

if TYPE_CHECKING:
    from distconv.client.client import Client

# Whoever presses Ctrl-C waits for no longer; what is then left running the server ends.
_CALL_OFF_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscodeResult:
    """What came of it: the finished job, and where its output lies now.

    `was_left`: an earlier call had begun the job.
    """

    job: Job
    output: JobOutput
    path: Path
    was_left: bool = False


class Transcoding:
    """One transcode under way, from a local file to a local file."""

    def __init__(
        self,
        client: Client,
        *,
        keep: bool,
        overlap: bool,
        on_progress: Callable[[Transfer | Job], None],
        on_note: Callable[[str], None],
    ) -> None:
        self._client = client
        self._keep = keep
        self._overlap = overlap
        self._on_progress = on_progress
        self._on_note = on_note
        self._labels = {} if keep else {TRANSIENT_LABEL: "source"}
        self._disposable: list[str] = []
        # Another's source is no business of ours.
        self._owns_source = True
        self._was_left = False
        # A job that has ended as it was to, or was called off, is nothing to go on with.
        self._is_over = False
        # The same transcode again goes on with what this one leaves.
        self._is_remembered = False
        # Its source could not be sent just now: the job waits for whoever goes on.
        self._is_lost = False

    async def run(
        self,
        source: Path,
        output: Path,
        order: NewJob,
        *,
        overwrite: bool,
        where: Mapping[str, str] | None,
    ) -> TranscodeResult:
        """Do it; see `Client.transcode`.

        `order` is the job without its source. `where` says which server and tenant it is
        remembered for; None: it is not.
        """
        await asyncio.to_thread(check_source, source)
        await asyncio.to_thread(check_output, output, overwrite=overwrite, source=source)
        key = ""
        if where is not None:
            known_by = {"order": order.likeness(), "keep": self._keep, **where}
            key = await asyncio.to_thread(_key, source, output, known_by)
        self._is_remembered = bool(key)
        with UnendedRun([key] if key else ()) as unended:
            start = JobStart(
                self._client,
                order,
                keep=self._keep,
                unended=unended,
                key=key,
                on_note=self._on_note,
                tell_left=_left,
            )
            try:
                return await self._run(source, output, start, overwrite=overwrite)
            finally:
                if self._is_over:
                    unended.done()

    async def _run(
        self, source: Path, output: Path, start: JobStart, *, overwrite: bool
    ) -> TranscodeResult:
        follower = OutputFollower(
            self._client,
            output,
            overwrite=overwrite,
            resume=self._is_remembered,
            on_progress=self._on_progress,
        )
        try:
            job, result = await self._finished_somehow(source, start, follower)
            await follower.place(result)
            self._is_over = True
            self._disposable.append(result.object)
        finally:
            await asyncio.shield(self._tidy(follower))
        return TranscodeResult(job=job, output=result, path=output, was_left=self._was_left)

    async def _finished_somehow(
        self, source: Path, start: JobStart, follower: OutputFollower
    ) -> tuple[Job, JobOutput]:
        begun = await start.begun(source)
        if begun is not None:
            self._owns_source = begun.is_ours
            self._was_left = begun.was_left
            if not begun.needs_source:
                overlapping = follower if self._overlap else None
                return await self._finished_or_called_off(begun.job, overlapping)
        if self._overlap or begun is not None:
            return await self._at_once(source, start, follower, begun)
        stored = await self._client.upload(
            source,
            labels=self._labels,
            resume=self._is_remembered,
            on_progress=self._on_progress,
        )
        self._disposable.append(stored.name)
        job = await self._created(stored.name, start)
        return await self._finished_or_called_off(job)

    async def _at_once(
        self, source: Path, start: JobStart, follower: OutputFollower, begun: Begun | None
    ) -> tuple[Job, JobOutput]:
        async with self._client.open_upload(
            source,
            object_name=begun.job.source.object if begun is not None else "",
            labels=self._labels,
            on_progress=self._on_progress,
        ) as upload:
            if begun is not None:
                job = begun.job
            else:
                self._disposable.append(upload.object)
                job = await self._created(upload.object, start)
            upload.kept_when_lost = self._is_remembered
            sending = asyncio.create_task(upload.send(), name="upload")
            working = asyncio.create_task(
                self._finished_or_called_off(job, follower), name="follow the job"
            )
            try:
                await _either(sending, working)
                return await working
            except LOST:
                self._is_lost = self._is_remembered
                raise
            finally:
                for task in (sending, working):
                    task.cancel()
                await asyncio.gather(sending, working, return_exceptions=True)

    async def _created(self, source: str, start: JobStart) -> Job:
        creating = start.create(source)
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
            if not self._is_lost:
                await asyncio.shield(self._call_off(job))
            raise

    async def _finished(self, job: Job, follower: OutputFollower | None) -> tuple[Job, JobOutput]:
        self._on_progress(job)
        async for snapshot in self._client.watch_job(job.name):
            job = snapshot
            self._on_progress(job)
            if follower is not None:
                await follower.note(job)
        self._dispose_of_source(job)
        self._is_over = job.state is not JobState.COMPLETED
        if job.state is JobState.FAILED:
            raise JobFailedError(job)
        if job.state is JobState.CANCELLED:
            raise JobCancelledError(job)
        if job.output is None:
            raise InternalError(f"job {job.id} ended in {job.state} without an output")
        return job, job.output

    async def _call_off(self, job: Job) -> None:
        # A job that has ended meanwhile needs no cancelling; a server that is gone cannot.
        try:
            await self._client.cancel_job(job.name, timeout_s=_CALL_OFF_S)
        except FailedPreconditionError:
            self._on_note(f"job {job.id} had ended already: 'dcctl jobs get {job.id}' shows how")
        except DistconvError as error:
            self._on_note(
                f"job {job.id} could not be cancelled and may go on ({error.message}): "
                f"'dcctl jobs watch {job.id}' shows it, 'dcctl jobs cancel {job.id}' ends it"
            )
        else:
            self._on_note(f"job {job.id} was cancelled")
            self._is_over = True
            self._dispose_of_source(job)

    def _dispose_of_source(self, job: Job) -> None:
        if self._owns_source:
            self._disposable.append(job.source.object)

    async def _tidy(self, follower: OutputFollower) -> None:
        """Delete what only this piece of work needed; what cannot be deleted stays."""
        await follower.close(drop=self._is_over)
        if self._keep:
            return
        with suppress(DistconvError, TimeoutError):
            async with asyncio.timeout(_CALL_OFF_S), asyncio.TaskGroup() as group:
                for name in self._disposable:
                    group.create_task(self._delete(name))

    async def _delete(self, name: str) -> None:
        with suppress(DistconvError):
            await self._client.delete_object(name, timeout_s=_CALL_OFF_S)


def _left(job: Job) -> str:
    return f"going on with job {job.id}, which an earlier transcode left ({job.state})"


def _key(source: Path, output: Path, known_by: Mapping[str, object]) -> str:
    return file_key(source, output=os.fsencode(output.resolve()).hex(), **known_by)


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
