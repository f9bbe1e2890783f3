"""dcctl jobs: why a job is where it is, and how it came there."""

from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import islice

import click

from distconv.client.cli import text
from distconv.client.cli.connecting import open_client
from distconv.client.cli.engine_names import given_to
from distconv.client.cli.job_reading import JOB, job_id
from distconv.client.cli.jsonable import print_json
from distconv.client.cli.options import Common, common_options
from distconv.client.cli.running import run
from distconv.client.cli.tables import print_fields, print_table
from distconv.client.job import Attempt, EngineFit, Explanation, JobHistory, JobTransition, Task
from distconv.core.durations import span
from distconv.core.names import bare
from distconv.core.task_states import TaskState


@click.command("explain")
@JOB
@common_options
def explain(*, job: str) -> int:
    """Say in plain words why a job waits, or why it went where it went."""
    common = Common.current()
    explained = run(_explained(common, job_id(job)))
    if common.as_json:
        print_json(explained)
        return 0
    print(explained.summary)
    for fit in explained.engines:
        print(f"\n{bare(fit.engine, 'engines')}  {_verdict(fit)}")
        for reason in fit.reasons:
            print(f"  {reason}")
    return 0


def _verdict(fit: EngineFit) -> str:
    if fit.runs:
        return "runs it"
    if fit.fits:
        return "fits"
    return "could do it, but is busy" if fit.busy else "does not fit"


async def _explained(common: Common, name: str) -> Explanation:
    async with open_client(common) as client:
        return await client.explain_job(name)


@click.command("history")
@JOB
@common_options
def history(*, job: str) -> int:
    """Tell all that happened to a job: every move with its cause, and every attempt."""
    common = Common.current()
    found = run(_history(common, job_id(job)))
    if common.as_json:
        print_json(found)
        return 0
    print_fields(_story(found))
    return 0


async def _history(common: Common, name: str) -> JobHistory:
    async with open_client(common) as client:
        return await client.job_history(name)


def _story(found: JobHistory) -> Iterator[tuple[str, str]]:
    for move in found.transitions:
        yield _time(move.time), _move(move)
    for number, attempt in enumerate(found.attempts, start=1):
        yield "", " "
        yield from _attempt(number, attempt)


def _move(move: JobTransition) -> str:
    came = f"{move.from_state.value} → " if move.from_state is not None else ""
    return f"{came}{move.to_state.value}{f': {move.cause}' if move.cause else ''}"


def _attempt(number: int, attempt: Attempt) -> Iterator[tuple[str, str]]:
    yield f"attempt {number}", f"{attempt.state.value} on {bare(attempt.engine, 'engines')}"
    yield "given", _time(attempt.create_time)
    yield "because", attempt.decision
    if attempt.transfer_mode is not None:
        yield "media", attempt.transfer_mode.value.lower()
    yield "expected", "" if attempt.estimate is None else span(attempt.estimate)
    yield "began", _time(attempt.start_time)
    yield "ended", _time(attempt.end_time)
    if attempt.start_time is not None and attempt.end_time is not None:
        yield "took", span(attempt.end_time - attempt.start_time)
    if attempt.error is not None:
        yield "error", f"{attempt.error.reason}: {attempt.error.message}"
    yield from (("", f"| {line}") for line in attempt.log_excerpt[-10:])


def _time(value: datetime | None) -> str:
    return "" if value is None else value.astimezone().strftime("%Y-%m-%d %H:%M:%S")


@click.command("tasks")
@click.argument("job", metavar="[JOB]", required=False, default="")
@click.option(
    "--state",
    "states",
    type=click.Choice([state.value for state in TaskState], case_sensitive=False),
    multiple=True,
    help="Only tasks in this state; repeatable.",
)
@click.option(
    "--engine", metavar="ENGINE", help="Only tasks that this engine, an id or name, was given."
)
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many."
)
@common_options
def tasks(*, job: str, states: tuple[str, ...], engine: str | None, limit: int) -> int:
    """List the tasks of a job, or of all jobs, newest first."""
    if job and (states or engine):
        raise click.UsageError("--state and --engine are for the tasks of all jobs")
    condition = " OR ".join(f"state = {state.upper()}" for state in states)
    common = Common.current()
    found = run(_tasks(common, job_id(job) if job else "", condition, engine, limit))
    if common.as_json:
        print_json({"tasks": found})
        return 0
    now = datetime.now(UTC)
    print_table(
        ("JOB", "TASK", "STATE", "ATTEMPTS", "ENGINE", "AGE", "NEEDS"),
        [_row(task, now) for task in found],
        empty="no tasks",
        dispensable=("NEEDS", "AGE", "ENGINE", "ATTEMPTS"),
    )
    return 0


async def _tasks(
    common: Common, job: str, condition: str, engine: str | None, limit: int
) -> list[Task]:
    async with open_client(common) as client:
        if job:
            return list(islice(await client.list_tasks(job), limit))
        found: list[Task] = []
        pages = client.list_all_tasks(
            filter=await given_to(client, condition, engine), page_size=min(limit, 1000)
        )
        async with aclosing(pages) as every:
            async for task in every:
                found.append(task)
                if len(found) == limit:
                    break
        return found


def _row(task: Task, now: datetime) -> tuple[str, ...]:
    last = task.attempts[-1].engine if task.attempts else ""
    return (
        bare(task.job, "jobs"),
        task.kind.value.lower(),
        task.state.value,
        str(len(task.attempts)),
        bare(last, "engines"),
        text.age(task.create_time, now),
        task.requirement,
    )
