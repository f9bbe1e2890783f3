"""dcctl jobs: list, show, follow and cancel jobs."""

from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime

import click

from distconv.client.cli import text
from distconv.client.cli.connecting import open_client
from distconv.client.cli.failing import FailedInputsError, Failing, code_of
from distconv.client.cli.job_options import progress_option
from distconv.client.cli.jsonable import print_json
from distconv.client.cli.options import Common, common_options
from distconv.client.cli.outcome import describe_audio, describe_video
from distconv.client.cli.running import run
from distconv.client.cli.tables import print_fields, print_table
from distconv.client.cli.views import View, job_line, make_view, progress_detail
from distconv.client.failures import JobCancelledError, JobFailedError
from distconv.client.job import Job, Task
from distconv.core.errors import DistconvError
from distconv.core.ids import parse_id_prefix
from distconv.core.media import MediaInfo, StreamKind
from distconv.core.names import bare
from distconv.core.states import JobState

_JOB = click.argument("job", metavar="JOB")


@click.group("jobs")
@common_options
def group() -> None:
    """List, show, follow and cancel jobs. Ids may be shortened."""


# --- list ----------------------------------------------------------------------------------


@group.command("list")
@click.option(
    "--state",
    type=click.Choice([state.value for state in JobState], case_sensitive=False),
    help="Only jobs in this state.",
)
@click.option("--profile", help="Only jobs with this profile.")
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many."
)
@common_options
def list_command(*, state: str | None, profile: str | None, limit: int) -> int:
    """List jobs, newest first."""
    conditions = [
        *([f"state = {state.upper()}"] if state else []),
        *([f"profile = profiles/{profile}"] if profile else []),
    ]
    common = Common.current()
    jobs = run(_listed(common, " AND ".join(conditions), limit))
    if common.as_json:
        print_json({"jobs": jobs})
        return 0
    now = datetime.now(UTC)
    print_table(
        ("ID", "STATE", "DONE", "PROFILE", "FILE", "AGE", "WHY"),
        [_row(job, now) for job in jobs],
        empty="no jobs",
    )
    return 0


async def _listed(common: Common, condition: str, limit: int) -> list[Job]:
    found: list[Job] = []
    async with (
        open_client(common) as client,
        aclosing(client.list_jobs(filter=condition, page_size=min(limit, 1000))) as jobs,
    ):
        async for job in jobs:
            found.append(job)
            if len(found) == limit:
                break
    return found


def _row(job: Job, now: datetime) -> tuple[str, ...]:
    done = ""
    if job.state is JobState.COMPLETED:
        done = "100 %"
    elif job.progress is not None and job.progress.fraction is not None:
        done = text.percent(job.progress.fraction)
    why = job.wait_reason or (job.error.message if job.error is not None else "")
    return (
        job.id,
        job.state.value,
        done,
        bare(job.profile, "profiles") or (job.profile_spec.name if job.profile_spec else ""),
        text.cut(job.source.file_name, 40),
        text.age(job.create_time, now),
        text.cut(why, 60),
    )


# --- get -----------------------------------------------------------------------------------


@group.command("get")
@_JOB
@common_options
def get_command(*, job: str) -> int:
    """Show one job with its attempts."""
    common = Common.current()
    found, tasks = run(_got(common, _id(job)))
    if common.as_json:
        print_json({"job": found, "tasks": tasks})
        return 0
    print_fields([*_fields(found), *_attempts(tasks)])
    return 0


async def _got(common: Common, name: str) -> tuple[Job, tuple[Task, ...]]:
    async with open_client(common) as client:
        job = await client.get_job(name)
        return job, await client.list_tasks(job.name)


def _fields(job: Job) -> Iterator[tuple[str, str]]:
    yield "job", job.id
    yield "state", job.state.value
    yield "waits", job.wait_reason
    yield "profile", bare(job.profile, "profiles")
    yield (
        "source",
        f"{job.source.file_name or job.source.object} ({text.size(job.source.size_bytes)})",
    )
    if job.source.media is not None:
        yield from (("", line) for line in _media(job.source.media))
    if job.progress is not None and not job.state.is_terminal:
        share = "" if job.progress.fraction is None else text.percent(job.progress.fraction)
        yield "progress", " ".join(p for p in (share, progress_detail(job)) if p)
    yield "engine", bare(job.engine, "engines")
    yield "priority", str(job.priority) if job.priority else ""
    yield "labels", ", ".join(f"{key}={value}" for key, value in job.labels.items())
    yield "created", _time(job.create_time)
    yield "started", _time(job.start_time)
    yield "ended", _time(job.end_time)
    yield "next try", _time(job.retry_time)
    if job.error is not None:
        yield "error", f"{job.error.reason}: {job.error.message}"
        yield from (("", f"| {line}") for line in job.error.stderr_tail[-5:])
    if job.output is not None:
        yield "result", f"{text.size(job.output.size_bytes)}, SHA-256 {job.output.sha256}"
        if job.output.media is not None:
            yield from (("", line) for line in _media(job.output.media))
        yield from ((note.severity.value, note.message) for note in job.output.notes)


def _media(media: MediaInfo) -> Iterator[str]:
    if media.duration_s is not None:
        yield f"{text.span(media.duration_s)} long"
    if media.video is not None:
        yield describe_video(media.video)
    yield from (describe_audio(stream) for stream in media.of_kind(StreamKind.AUDIO))


def _attempts(tasks: tuple[Task, ...]) -> Iterator[tuple[str, str]]:
    for task in tasks:
        for attempt in task.attempts:
            engine = bare(attempt.engine, "engines")
            why = attempt.error.message if attempt.error is not None else attempt.decision
            line = f"{attempt.state.value} on {engine}"
            yield task.kind.value.lower(), f"{line}: {why}" if why else line


def _time(value: datetime | None) -> str:
    return "" if value is None else value.astimezone().isoformat(sep=" ", timespec="seconds")


# --- watch ---------------------------------------------------------------------------------


@group.command("watch")
@_JOB
@progress_option
@common_options
def watch_command(*, job: str, progress: str) -> int:
    """Follow a job to its end. Ctrl-C ends the following, not the job.

    With --json each snapshot is one line of JSON on stdout. The exit code says
    how the job ended.
    """
    common = Common.current()
    with make_view(progress, as_json=common.as_json) as view:
        last = run(_watched(common, view, _id(job)))
    if last.state is JobState.FAILED:
        raise JobFailedError(last)
    if last.state is JobState.CANCELLED:
        raise JobCancelledError(last)
    if not common.as_json:
        print(job_line(last))
    return 0


async def _watched(common: Common, view: View, name: str) -> Job:
    async with open_client(common, note=view.note) as client:
        last = await client.get_job(name)
        async for snapshot in client.watch_job(last.name):
            last = snapshot
            view.step(snapshot)
            if common.as_json:
                print_json(snapshot, indent=None)
    return last


# --- cancel --------------------------------------------------------------------------------


@group.command("cancel")
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True)
@common_options
def cancel_command(*, jobs: tuple[str, ...]) -> int:
    """Cancel jobs; running encoders are ended."""
    common = Common.current()
    names = [_id(job) for job in jobs]
    cancelled, errors = run(_cancelled(common, names))
    if common.as_json:
        print_json({"jobs": cancelled})
    if len(errors) == 1 and len(names) == 1:
        raise errors[0]
    for error in errors:
        Failing().report(error)
    if errors:
        raise FailedInputsError(
            f"{len(errors)} of {len(names)} jobs could not be cancelled", code_of(errors[0])
        )
    return 0


async def _cancelled(common: Common, names: list[str]) -> tuple[list[Job], list[DistconvError]]:
    cancelled: list[Job] = []
    errors: list[DistconvError] = []
    async with open_client(common) as client:
        for name in names:
            try:
                cancelled.append(await client.cancel_job(name))
            except DistconvError as error:
                errors.append(error)
                continue
            if not common.as_json:
                print(cancelled[-1].id, flush=True)
    return cancelled, errors


def _id(job: str) -> str:
    return parse_id_prefix(bare(job, "jobs"))
