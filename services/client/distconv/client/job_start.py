"""What a job can begin with: the job that an earlier run left, or a file that is stored."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from distconv.client.job import Job
from distconv.client.new_job import NewJob
from distconv.client.stored import ObjectState, StoredObject, nothing_sent
from distconv.client.unended_run import AskedJob, UnendedRun
from distconv.core.errors import AlreadyExistsError, FailedPreconditionError, NotFoundError
from distconv.core.states import JobState

if TYPE_CHECKING:
    from distconv.client.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A job that exists.

    `needs_source`: its source is not wholly sent; `is_ours`: it is removed afterwards;
    `was_left`: an earlier run has begun it.
    """

    job: Job
    needs_source: bool = False
    is_ours: bool = False
    was_left: bool = False


class JobStart:
    """Creates the job of a file, or finds the one that the same run before left.

    `unended` remembers what was asked for under `key`. With `keep` nothing is begun on
    what whoever has sent it removes again. `on_note` is told what spares work;
    `tell_left` says it of a job that was left.
    """

    def __init__(
        self,
        client: Client,
        order: NewJob,
        *,
        keep: bool,
        unended: UnendedRun,
        key: str,
        on_note: Callable[[str], None],
        tell_left: Callable[[Job], str],
    ) -> None:
        """Take the job without its source: `order`."""
        self._client = client
        self._order = order
        self._keep = keep
        self._unended = unended
        self._key = key
        self._on_note = on_note
        self._tell_left = tell_left

    async def create(self, source: str) -> Job:
        """Create the job on an object. Raises what `Client.create_job` does."""
        asked = self._unended.ask(self._key, source)
        return await self._asked(asked)

    async def begun(self, source: Path) -> Begun | None:
        """Return what there is to go on with; None when the source has to be sent."""
        return await self._left() or await self._on_stored(source)

    async def _left(self) -> Begun | None:
        """Return the job that an earlier run left, if its result is still to be had."""
        asked = self._unended.asked(self._key)
        if asked is None:
            return None
        try:
            job = await self._asked(asked)
        except (NotFoundError, FailedPreconditionError, AlreadyExistsError):
            return None  # the job or its source was deleted, or the request was of something else
        if job.delete_time is not None or job.state in (JobState.FAILED, JobState.CANCELLED):
            return None
        if job.output is not None and await self._stored(job.output.object) is None:
            return None
        stored = await self._stored(asked.source)
        if stored is None and not job.state.is_terminal:
            await self._end_without_source(job)
            return None
        self._on_note(self._tell_left(job))
        return Begun(
            job=job,
            needs_source=stored is not None and stored.state is not ObjectState.COMMITTED,
            is_ours=stored is not None and stored.is_transient,
            was_left=True,
        )

    async def _end_without_source(self, job: Job) -> None:
        """Cancel a job that would wait for its source for ever."""
        with suppress(FailedPreconditionError, NotFoundError):  # ended, or deleted, meanwhile
            await self._client.cancel_job(job.name)
        self._on_note(
            f"job {job.id}, which an earlier run left, has lost its source and was "
            "cancelled: a new one begins"
        )

    async def _on_stored(self, source: Path) -> Begun | None:
        stored = await self._client.find_stored(source)
        # What a transcode removes again is nothing to keep.
        if stored is None or (stored.is_transient and self._keep):
            return None
        try:
            job = await self.create(stored.name)
        except NotFoundError as error:
            if error.metadata.get("field") != "job.source.object":
                raise
            return None  # it was deleted meanwhile
        self._on_note(nothing_sent(source, stored))
        return Begun(job=job, is_ours=stored.is_transient)

    async def _asked(self, asked: AskedJob) -> Job:
        order = replace(self._order, source=asked.source, request_id=asked.request_id)
        return await self._client.create_new_job(order)

    async def _stored(self, name: str) -> StoredObject | None:
        with suppress(NotFoundError):
            return await self._client.get_object(name)
        return None
