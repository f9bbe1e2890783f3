"""dcctl jobs get and watch: show and follow one job."""

from collections.abc import Iterator
from datetime import datetime

import click

from distconv.client.cli import text
from distconv.client.cli.connecting import open_client
from distconv.client.cli.job_options import progress_option
from distconv.client.cli.job_reading import JOB, job_id
from distconv.client.cli.jsonable import print_json
from distconv.client.cli.options import Common, common_options
from distconv.client.cli.outcome import describe_audio, describe_video
from distconv.client.cli.running import goes_on, run, telling_if_interrupted
from distconv.client.cli.tables import print_fields
from distconv.client.cli.views import View, job_line, make_view, progress_detail
from distconv.client.failures import JobCancelledError, JobFailedError
from distconv.client.job import Job, Task
from distconv.core.media import MediaInfo, StreamKind
from distconv.core.names import bare
from distconv.core.states import JobState

# --- get -----------------------------------------------------------------------------------


@click.command("get")
@JOB
@common_options
def get_command(*, job: str) -> int:
    """Show one job with its attempts."""
    common = Common.current()
    found, tasks = run(_got(common, job_id(job)))
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
    yield "deadline", _time(job.deadline)
    yield "only on", ", ".join(f"engines tagged {tag}" for tag in job.engine_tags)
    yield "transfer", "" if job.transfer_mode is None else job.transfer_mode.value.lower()
    yield "attempts", f"{job.attempt_count}, {job.retry_count} failed" if job.attempt_count else ""
    yield "labels", ", ".join(f"{key}={value}" for key, value in job.labels.items())
    yield "created", _time(job.create_time)
    yield "started", _time(job.start_time)
    yield "ended", _time(job.end_time)
    yield "deleted", _time(job.delete_time)
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


@click.command("watch")
@JOB
@progress_option
@common_options
def watch_command(*, job: str, progress: str) -> int:
    """Follow a job to its end. Ctrl-C ends the following, not the job.

    With --json each snapshot is one line of JSON on stdout. The exit code says
    how the job ended.
    """
    common = Common.current()
    with make_view(progress, as_json=common.as_json) as view:
        last = run(_watched(common, view, job_id(job)))
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
        with telling_if_interrupted(goes_on(last.id), view.note):
            async for snapshot in client.watch_job(last.name):
                last = snapshot
                view.step(snapshot)
                if common.as_json:
                    print_json(snapshot, indent=None)
    return last
