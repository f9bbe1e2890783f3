"""dcctl jobs list: which jobs there are."""

from contextlib import aclosing
from datetime import UTC, datetime

import click

from distconv.client.cli import text
from distconv.client.cli.conditions import quoted
from distconv.client.cli.connecting import open_client
from distconv.client.cli.engine_names import given_to
from distconv.client.cli.job_options import read_labels
from distconv.client.cli.jsonable import print_json
from distconv.client.cli.options import Common, common_options
from distconv.client.cli.running import run
from distconv.client.cli.tables import print_table, width
from distconv.client.cli.when import When
from distconv.client.job import Job
from distconv.core.names import bare
from distconv.core.states import JobState

_ORDERS = {
    "newest": "create_time desc",
    "oldest": "create_time",
    "priority": "priority desc",
    "ended": "end_time desc",
}
_COLUMNS = ("ID", "STATE", "DONE", "PRIO", "PROFILE", "FILE", "ENGINE", "AGE", "LABELS", "WHY")
# What goes first where a line is short.
_DISPENSABLE = ("LABELS", "ENGINE", "PRIO", "WHY", "PROFILE", "AGE", "DONE")


@click.command("list")
@click.option(
    "--state",
    "states",
    type=click.Choice([state.value for state in JobState], case_sensitive=False),
    multiple=True,
    help="Only jobs in this state; repeatable.",
)
@click.option("--profile", help="Only jobs with this profile.")
@click.option(
    "--engine", metavar="ENGINE", help="Only jobs that this engine, an id or name, was given."
)
@click.option(
    "--label", "labels", metavar="KEY=VALUE", multiple=True, callback=read_labels,
    help="Only jobs with this label; repeatable.",
)  # fmt: skip
@click.option("--text", "words", metavar="WORDS", help="Only jobs whose file name has these words.")
@click.option(
    "--since", type=When(ago=True), metavar="WHEN",
    help="Only jobs created since then: a time, or a span back from now, as 2h.",
)  # fmt: skip
@click.option("--deleted", is_flag=True, help="Deleted jobs too, while they are retained.")
@click.option(
    "--order", type=click.Choice(list(_ORDERS)), default="newest", show_default=True,
    help="Which come first; 'ended' lists those that have.",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many."
)
@click.option("--all", "everything", is_flag=True, help="As many as there are.")
@click.option("--wide", is_flag=True, help="Every column, whatever the width of the terminal.")
@common_options
def list_command(
    *,
    states: tuple[str, ...],
    profile: str | None,
    engine: str | None,
    labels: dict[str, str],
    words: str | None,
    since: datetime | None,
    deleted: bool,
    order: str,
    limit: int,
    everything: bool,
    wide: bool,
) -> int:
    """List jobs, newest first."""
    conditions = [
        *([" OR ".join(f"state = {state.upper()}" for state in states)] if states else []),
        *([f"profile = {quoted(bare(profile, 'profiles'))}"] if profile else []),
        *(f"labels.{key} = {quoted(value)}" for key, value in labels.items()),
        *([f"text : {quoted(words)}"] if words else []),
        *([f"create_time >= {quoted(since.isoformat())}"] if since else []),
    ]
    common = Common.current()
    wanted = None if everything else limit
    jobs, more = run(
        _listed(common, " AND ".join(conditions), engine, _ORDERS[order], wanted, deleted=deleted)
    )
    if common.as_json:
        print_json({"jobs": jobs})
        return 0
    now, room = datetime.now(UTC), 10_000 if wide else width()
    print_table(
        _COLUMNS,
        [_row(job, now, room) for job in jobs],
        empty="no jobs",
        dispensable=() if wide else _DISPENSABLE,
    )
    if more:
        click.echo(f"the first {limit}; there are more: --limit or --all", err=True)
    return 0


async def _listed(
    common: Common,
    condition: str,
    engine: str | None,
    order: str,
    limit: int | None,
    *,
    deleted: bool,
) -> tuple[list[Job], bool]:
    """Return the jobs, and whether there are more."""
    found: list[Job] = []
    page_size = 1000 if limit is None else min(limit + 1, 1000)
    async with open_client(common) as client:
        listing = client.list_jobs(
            filter=await given_to(client, condition, engine),
            order_by=order,
            page_size=page_size,
            show_deleted=deleted,
        )
        async with aclosing(listing) as jobs:
            async for job in jobs:
                if len(found) == limit:
                    return found, True
                found.append(job)
    return found, False


def _row(job: Job, now: datetime, room: int) -> tuple[str, ...]:
    done = ""
    if job.state is JobState.COMPLETED:
        done = "100 %"
    elif job.progress is not None and job.progress.fraction is not None:
        done = text.percent(job.progress.fraction)
    why = job.wait_reason or (job.error.message if job.error is not None else "")
    if job.delete_time is not None:
        why = f"deleted {text.age(job.delete_time, now)} ago"
    return (
        job.id,
        job.state.value,
        done,
        str(job.priority) if job.priority else "",
        bare(job.profile, "profiles") or (job.profile_spec.name if job.profile_spec else ""),
        text.cut(job.source.file_name, 40 if room >= 100 else max(room // 4, 8)),
        bare(job.engine, "engines"),
        text.age(job.create_time, now),
        " ".join(f"{key}={value}" for key, value in sorted(job.labels.items())),
        text.cut(why, max(room // 3, 40)),
    )
