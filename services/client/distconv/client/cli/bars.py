"""Progress as bars on a terminal."""

import sys
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from distconv.client.cli import text
from distconv.client.cli.rate import Rate
from distconv.client.cli.tables import console
from distconv.client.cli.views import progress_detail
from distconv.client.job import Job
from distconv.client.stored import Direction, Transfer
from distconv.core.clock import Clock, SystemClock
from distconv.core.states import JobState


class BarsView:
    """One bar each for upload, encode and download."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._progress = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=console(stderr=True),
            # On one terminal, prints go above the bars; in a pipe or file they are the result.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._tasks: dict[str, TaskID] = {}
        self._rates: dict[Direction, Rate] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def note(self, message: str) -> None:
        """Print a sentence above the bars."""
        self._progress.console.print(text.printable(message), markup=False, highlight=False)

    def step(self, step: Transfer | Job) -> None:
        """Move a bar."""
        if isinstance(step, Job):
            self._job(step)
            return
        rate = self._rates.setdefault(step.direction, Rate(self._clock))
        self._show(step.direction.value, step.fraction, rate.describe(step))

    def _job(self, job: Job) -> None:
        fraction = job.progress.fraction if job.progress is not None else None
        match job.state:
            case JobState.TRANSCODING:
                detail = progress_detail(job)
            case JobState.ASSIGNED if job.progress is not None:
                detail = progress_detail(job)
            case JobState.COMPLETED:
                fraction, detail = 1.0, ""
            case JobState.FAILED | JobState.CANCELLED:
                detail = ""  # the command ends with the error
            case _:
                detail = job.wait_reason or job.state.value.lower()
                if job.error is not None and not job.wait_reason:  # which says it, too
                    detail = f"{detail}: {job.error.message}"
        self._show("encode", fraction, detail)

    def _show(self, name: str, fraction: float | None, detail: str) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=None, detail="")
        task = self._tasks[name]
        if fraction is None:
            self._progress.update(task, detail=detail)
        else:
            self._progress.update(task, total=1.0, completed=fraction, detail=detail)
