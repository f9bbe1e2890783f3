"""Tell the bus how far jobs have come: a sample of each now and then, and never what is old."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import UnavailableError
from distconv.core.ids import MakeId
from distconv.core.progress import JobProgress
from distconv.dispatch.changes.signals import Effects
from distconv.dispatch.events.wire import progress_event
from distconv.events.port import EventBus

_log = structlog.get_logger()


class ProgressSampler:
    """Publish `ProgressUpdated`, at most one per job and interval.

    Samples bypass the outbox: they are not stored, and those of the time while
    the bus is away are dropped.
    """

    name = "progress_sampler"

    def __init__(
        self,
        bus: EventBus,
        clock: Clock,
        *,
        make_id: MakeId,
        interval: timedelta,
        wake: Callable[[], None],
    ) -> None:
        """`wake` has the duty run."""
        self._bus = bus
        self._clock = clock
        self._make_id = make_id
        self._interval_s = interval.total_seconds()
        self._wake = wake
        self._sampled: dict[str, float] = {}
        self._waiting: dict[str, tuple[str, JobProgress]] = {}

    def note(self, job_id: str, tenant: str, progress: JobProgress) -> None:
        """Take note of a report; most are passed over."""
        now = self._clock.monotonic()
        if now - self._sampled.get(job_id, -self._interval_s) < self._interval_s:
            return
        self._sampled[job_id] = now
        self._waiting[job_id] = (tenant, progress)
        self._wake()

    def forget(self, effects: Effects) -> None:
        """Forget the jobs that ended."""
        for job_id in effects.ended_jobs | {a.job_id for a in effects.ended_attempts}:
            self._sampled.pop(job_id, None)
            self._waiting.pop(job_id, None)

    async def run(self) -> datetime | None:
        """Publish the samples that were taken."""
        waiting, self._waiting = self._waiting, {}
        now = self._clock.now()
        events = [
            progress_event(
                job_id,
                tenant,
                progress,
                event_id=self._make_id(now),
                time=progress.update_time or now,
            )
            for job_id, (tenant, progress) in waiting.items()
        ]
        if events:
            try:
                await self._bus.publish(events)
            except UnavailableError as error:
                _log.debug("progress_samples_dropped", count=len(events), why=error.message)
        return None
