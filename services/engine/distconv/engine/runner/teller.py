"""Tell the supervisor how an attempt goes."""

from collections.abc import Callable
from dataclasses import replace

from distconv.core.attempt import AttemptPhase
from distconv.core.clock import SystemClock
from distconv.core.progress import JobProgress
from distconv.engine.progress_meter import ProgressMeter
from distconv.engine.runner.config import RunnerConfig
from distconv.engine.transcoder import EncodeReport
from distconv.engine.work import Assignment, AttemptReport, AttemptResult, LogLines

Say = Callable[[AttemptReport | AttemptResult | LogLines], None]


class Teller:
    """Tell how the attempt goes: at once when its phase changes, progress not too often."""

    def __init__(
        self,
        say: Say,
        assignment: Assignment,
        duration_s: float | None,
        config: RunnerConfig,
        clock: SystemClock,
    ) -> None:
        self._say = say
        self._assignment = assignment
        self._interval_s = config.progress_interval_s
        self._clock = clock
        self._meter = ProgressMeter(duration_s=duration_s, clock=clock)
        self._progress = JobProgress()
        self._told = float("-inf")
        self._phase = AttemptPhase.STARTING

    def encoding(self, report: EncodeReport, written_bytes: int) -> None:
        """Note a report of the encoder's."""
        self._progress = self._meter.measure(
            frame_count=report.frame_count,
            out_time_s=report.out_time_s,
            read_bytes=report.read_bytes,
            written_bytes=written_bytes,
        )
        self._tell_now_and_then(AttemptPhase.ENCODING)

    def fetching(self, read_bytes: int) -> None:
        """Note how much of the source was downloaded."""
        self._progress = replace(self._progress, read_bytes=read_bytes)
        self._tell_now_and_then(AttemptPhase.STARTING)

    def finishing(self) -> None:
        """Note that the encoder is through."""
        self._tell(AttemptPhase.FINISHING)

    def _tell_now_and_then(self, phase: AttemptPhase) -> None:
        now = self._clock.monotonic()
        if phase is not self._phase or now - self._told >= self._interval_s:
            self._told, self._phase = now, phase
            self._tell(phase)

    def _tell(self, phase: AttemptPhase) -> None:
        self._say(
            AttemptReport(
                attempt=self._assignment.attempt,
                fencing_token=self._assignment.fencing_token,
                phase=phase,
                progress=self._progress,
            )
        )
