"""How progress is shown: bars on a terminal, plain lines elsewhere, JSON lines, or not at all."""

import json
import sys
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self

from distconv.client.cli import text
from distconv.client.cli.jsonable import jsonable
from distconv.client.cli.nonblocking_stderr import print_sample
from distconv.client.cli.rate import Rate
from distconv.client.job import Job
from distconv.client.stored import Direction, Transfer
from distconv.core.clock import Clock, SystemClock
from distconv.core.states import JobState

# Off a terminal, progress is for logs: often enough to see it move, not more.
_LINE_EVERY_S = 3.0
# A transfer whose line has read the same for so long is told in more digits from there on.
_SIGN_OF_LIFE_S = 10.0
_MORE_DIGITS = 3


class Progress(StrEnum):
    """The ways to show progress."""

    AUTO = "auto"
    BARS = "bars"
    LINES = "lines"
    JSON = "json"
    NONE = "none"


class View(Protocol):
    """Shows how a piece of work goes."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def step(self, step: Transfer | Job) -> None:
        """Show a step."""
        ...

    def note(self, message: str) -> None:
        """Show a sentence."""
        ...


def make_view(choice: str, *, as_json: bool) -> View:
    """Make the view that was asked for; `auto` is bars on a terminal, nothing with --json."""
    from distconv.client.cli.bars import BarsView  # noqa: PLC0415  # rich is slow to load

    wanted = Progress(choice)
    if wanted is Progress.AUTO:
        wanted = Progress.BARS if sys.stderr.isatty() else Progress.LINES
        if as_json:
            wanted = Progress.NONE
    match wanted:
        case Progress.BARS:
            return BarsView()
        case Progress.JSON:
            return JsonView()
        case Progress.NONE:
            return SilentView()
        case _:
            return LinesView()


class SilentView:
    """Shows nothing but sentences."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def step(self, step: Transfer | Job) -> None:
        """Show nothing."""

    def note(self, message: str) -> None:
        """Print the sentence on stderr."""
        print(text.printable(message), file=sys.stderr, flush=True)


class _Milestones:
    """What was last seen of each thing that goes on, to tell milestones from samples."""

    def __init__(self) -> None:
        self._state: JobState | None = None
        self._transfers: dict[Direction, Transfer] = {}

    def is_milestone(self, step: Transfer | Job) -> bool:
        """Take a step; tell whether it is a job's new state, or a transfer's beginning or end."""
        if isinstance(step, Job):
            state, self._state = self._state, step.state
            return step.state is not state
        last = self._transfers.get(step.direction)
        self._transfers[step.direction] = step
        begins = last is None or step.done_bytes < last.done_bytes
        return begins or (is_over(step) and not (last and is_over(last)))


class JsonView(SilentView):
    """One JSON object a line on stderr: `{"event": "upload" | "job" | "download" | "note", …}`.

    Where the reader is behind, steps in between are left out.
    """

    def __init__(self) -> None:
        self._milestones = _Milestones()
        self._transfers: dict[Direction, Transfer] = {}

    def step(self, step: Transfer | Job) -> None:
        """Print the step, unless it is a transfer's that has not moved."""
        if isinstance(step, Job):
            line = _json_line("job", job=jsonable(step))
        else:
            if step == self._transfers.get(step.direction):
                return
            self._transfers[step.direction] = step
            line = _json_line(
                step.direction.value, done_bytes=step.done_bytes, total_bytes=step.total_bytes
            )
        _print_step(line, milestone=self._milestones.is_milestone(step))

    def note(self, message: str) -> None:
        """Print the sentence."""
        print(_json_line("note", message=message), file=sys.stderr, flush=True)


def _json_line(event: str, **fields: object) -> str:
    return json.dumps({"event": event, **fields}, ensure_ascii=False)


def _print_step(line: str, *, milestone: bool) -> None:
    if milestone:
        print(line, file=sys.stderr, flush=True)
    else:
        print_sample(line)


class LinesView(SilentView):
    """A plain line on stderr at every change, and now and then in between.

    A job's end is none of them: the command says it itself, as its result or its error.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        # Of each thing that goes on, since several do at once: its phase, what was said, and when.
        self._last: dict[str, tuple[str, str, float]] = {}
        self._rates: dict[Direction, Rate] = {}
        self._more_digits: dict[Direction, int] = {}
        self._milestones = _Milestones()

    def step(self, step: Transfer | Job) -> None:
        """Print the step if it is new enough."""
        milestone = self._milestones.is_milestone(step)
        if isinstance(step, Transfer):
            self._transfer(step, milestone=milestone)
        elif not step.state.is_terminal:
            phase = f"{step.state} {step.wait_reason}"
            if self._is_due("job", phase):
                self._say("job", phase, job_line(step), milestone=milestone)

    def _transfer(self, step: Transfer, *, milestone: bool) -> None:
        rate = self._rates.setdefault(step.direction, Rate(self._clock))
        rate.note(step)
        if not step.done_bytes or not (is_over(step) or self._is_due(step.direction, "")):
            return
        if not self._say_transfer(step, rate, milestone=milestone) and (
            self._since(self._last[step.direction][2]) >= _SIGN_OF_LIFE_S
        ):
            self._more_digits[step.direction] = _MORE_DIGITS
            self._say_transfer(step, rate, milestone=milestone)

    def _say_transfer(self, step: Transfer, rate: Rate, *, milestone: bool) -> bool:
        digits = self._more_digits.get(step.direction, 0)
        line = transfer_line(step, rate.describe(step, more_digits=digits))
        return self._say(step.direction, "", line, milestone=milestone)

    def _is_due(self, what: str, phase: str) -> bool:
        last = self._last.get(what)
        return last is None or phase != last[0] or self._since(last[2]) >= _LINE_EVERY_S

    def _since(self, at: float) -> float:
        return self._clock.monotonic() - at

    def _say(self, what: str, phase: str, line: str, *, milestone: bool) -> bool:
        """Print a line, unless it was the last; return whether it was printed."""
        last = self._last.get(what)
        if last is not None and last[1] == line:
            return False
        _print_step(text.printable(line), milestone=milestone)
        self._last[what] = phase, line, self._clock.monotonic()
        return True


def is_over(transfer: Transfer) -> bool:
    """Tell whether all of a file has gone."""
    return transfer.fraction is not None and transfer.fraction >= 1.0


def transfer_line(transfer: Transfer, detail: str) -> str:
    """Say how far a transfer has come; `detail` says how much has gone, and how fast."""
    verb = "uploading" if transfer.direction is Direction.UPLOAD else "downloading"
    if transfer.total_bytes is None or transfer.fraction is None:
        return f"{verb} while it is written ({detail})"
    if transfer.fraction >= 1.0:
        done = "uploaded" if transfer.direction is Direction.UPLOAD else "downloaded"
        return f"{done} {text.size(transfer.total_bytes)}"
    return f"{verb} {text.percent(transfer.fraction)} ({detail})"


def job_line(job: Job) -> str:
    """Say where a job stands."""
    line = f"job {job.id}: {_STANDING.get(job.state, job.state.value.lower())}"
    if job.state in _GOING and job.progress is not None:
        share = "" if job.progress.fraction is None else f" {text.percent(job.progress.fraction)}"
        detail = progress_detail(job)
        return f"{line}{share}{f' ({detail})' if detail else ''}"
    if job.wait_reason and job.state is JobState.PAUSED:  # it says that the job is held
        return f"job {job.id}: {job.wait_reason}"
    if job.wait_reason:
        return f"{line}: {job.wait_reason}"
    if job.error is not None:
        return f"{line}: {job.error.message}"
    return line


def progress_detail(job: Job) -> str:
    """Say how fast a job goes and how long it still takes; before, what was fetched of a file."""
    progress = job.progress
    if progress is None:
        return ""
    parts = []
    if job.state is JobState.ASSIGNED and progress.read_bytes:
        parts.append(
            f"{text.size(progress.read_bytes)} of {text.size(job.source.size_bytes)} fetched"
        )
    if progress.fps > 0:
        parts.append(f"{progress.fps:.0f} fps")
    if progress.speed > 0:
        parts.append(f"{progress.speed:.2f}×")
    if progress.eta is not None:
        parts.append(f"{text.span(progress.eta)} left")
    return ", ".join(parts)


_GOING = (JobState.ASSIGNED, JobState.TRANSCODING, JobState.COMPLETING)
_STANDING = {
    JobState.PENDING: "waiting",
    JobState.ASSIGNED: "given to an engine",
    JobState.TRANSCODING: "encoding",
    JobState.COMPLETING: "finishing",
    JobState.COMPLETED: "done",
    JobState.FAILED: "failed",
    JobState.RETRYING: "trying again soon",
    JobState.CANCELLED: "cancelled",
    JobState.PAUSED: "held",
}
