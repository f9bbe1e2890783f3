"""dcctl jobs: what changes jobs that there are."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import click

from distconv.client.cli.each import confirm, do_each
from distconv.client.cli.engine_names import engine_id
from distconv.client.cli.job_options import CONTAINERS, TRANSFERS, read_labels
from distconv.client.cli.job_reading import JOB, JOBS, job_id
from distconv.client.cli.options import common_options
from distconv.client.cli.profile_choice import chosen, from_file
from distconv.client.cli.when import Span, When
from distconv.client.client import Client
from distconv.client.job import Job
from distconv.client.new_job import UNCHANGED
from distconv.core.profile import Container
from distconv.core.transfer import TransferMode

_YES = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


@click.command("pause")
@JOBS
@common_options
def pause(*, jobs: tuple[str, ...]) -> int:
    """Hold jobs until they are resumed; running encoders are ended, their work is lost."""
    return _each(jobs, lambda client, job: client.pause_job(job), "paused")


@click.command("resume")
@JOBS
@common_options
def resume(*, jobs: tuple[str, ...]) -> int:
    """Let held jobs go on."""
    return _each(jobs, lambda client, job: client.resume_job(job), "resumed")


@click.command("cancel")
@JOBS
@common_options
def cancel(*, jobs: tuple[str, ...]) -> int:
    """Cancel jobs; running encoders are ended."""
    return _each(jobs, lambda client, job: client.cancel_job(job), "cancelled")


@click.command("retry")
@JOBS
@common_options
def retry(*, jobs: tuple[str, ...]) -> int:
    """Start failed or cancelled jobs again, with all their retries anew."""
    return _each(jobs, lambda client, job: client.retry_job(job), "retried")


@click.command("delete")
@JOBS
@click.option("--output", is_flag=True, help="Delete the results from storage too, for good.")
@_YES
@common_options
def delete(*, jobs: tuple[str, ...], output: bool, yes: bool) -> int:
    """Delete jobs that have ended.

    Lists leave them out at once; by their ids they can be read until the server's
    retention is over. Sources stay; results too, without --output.
    """
    what = f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}"
    confirm(f"Delete {what}{' with the results' if output else ''}?", yes=yes)
    return _each(jobs, lambda client, job: client.delete_job(job, delete_output=output), "deleted")


@click.command("assign")
@JOB
@click.argument("engine", metavar="ENGINE", required=False, default="")
@click.option("--any", "any_engine", is_flag=True, help="Let any engine do it again.")
@common_options
def assign(*, job: str, engine: str, any_engine: bool) -> int:
    """Have a waiting job done by ENGINE and no other, as soon as it has a free slot."""
    if bool(engine) == any_engine:
        raise click.UsageError("name the ENGINE, or say --any", click.get_current_context())

    async def assigned(client: Client, name: str) -> Job:
        return await client.assign_job(name, await engine_id(client, engine))

    return _each((job,), assigned, "assigned")


@click.command("update")
@JOBS
@click.option("--priority", type=click.IntRange(-100, 100), help="Higher goes first.")
@click.option(
    "--deadline",
    type=When(ago=False, none_allowed=True),
    default=UNCHANGED,
    metavar="WHEN|none",
    help="When the result is wanted: a time, or a span from now, as 6h.",
)
@click.option(
    "--ttl",
    type=Span(none_allowed=True),
    default=UNCHANGED,
    metavar="SPAN|none",
    help="How long it may stay unfinished, from its creation on.",
)
@click.option(
    "--max-retries", type=click.IntRange(0, 100), help="Failed attempts allowed after the first."
)
@click.option(
    "--label", "labels", metavar="KEY=VALUE", multiple=True, callback=read_labels,
    help="Set a label; repeatable.",
)  # fmt: skip
@click.option("--remove-label", "unlabels", metavar="KEY", multiple=True, help="Take one off.")
@click.option(
    "--tag", "tags", metavar="TAG", multiple=True, help="Engines must have it; replaces all tags."
)
@click.option(
    "--transfer", type=click.Choice((*TRANSFERS, "none")),
    help="How media goes to the engine from the next attempt on; none: as the server is set.",
)  # fmt: skip
@click.option("--no-tags", is_flag=True, help="Any engine will do.")
@click.option(
    "--profile", "-p", metavar="NAME|FILE.toml[:NAME]",
    help="Another profile, while no engine is at work on it.",
)  # fmt: skip
@click.option("--container", type=click.Choice(CONTAINERS), help="With --profile: the container.")
@common_options
def update(*, jobs: tuple[str, ...], **options: Any) -> int:
    """Change priority, deadline, labels and the like of jobs, or the profile of waiting ones."""
    changes = _Changes(**options)
    changes.check()
    return _each(jobs, changes.make, "updated")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changes:
    """What `update` was told."""

    priority: int | None
    deadline: datetime | Any | None
    ttl: timedelta | Any | None
    max_retries: int | None
    labels: dict[str, str]
    unlabels: tuple[str, ...]
    tags: tuple[str, ...]
    no_tags: bool
    transfer: str | None
    profile: str | None
    container: str | None

    def check(self) -> None:
        """Raise click.UsageError for what says nothing or contradicts itself."""
        said = (
            self.priority is not None,
            self.deadline is not UNCHANGED,
            self.ttl is not UNCHANGED,
            self.max_retries is not None,
            self.labels or self.unlabels or self.tags or self.no_tags,
            self.transfer is not None,
            self.profile is not None,
        )
        context = click.get_current_context()
        if self.container is not None and self.profile is None:
            raise click.UsageError("--container goes with --profile", context)
        if self.tags and self.no_tags:
            raise click.UsageError("--tag and --no-tags contradict each other", context)
        if not any(said):
            raise click.UsageError("say what to change", context)
        if self.profile is not None:
            from_file(self.profile)

    async def make(self, client: Client, name: str) -> Job:
        """Change one job; labels are changed in what they are now, not in what they were."""
        container = Container(self.container) if self.container else None
        profile: Any = UNCHANGED
        if self.profile is not None:
            profile, _ = await chosen(client, self.profile, container)
        labels: Any = UNCHANGED
        etag = ""
        if self.labels or self.unlabels:
            job = await client.get_job(name)
            kept = {key: value for key, value in job.labels.items() if key not in self.unlabels}
            labels, etag = kept | self.labels, job.etag
        return await client.update_job(
            name,
            priority=UNCHANGED if self.priority is None else self.priority,
            deadline=self.deadline,
            ttl=self.ttl,
            max_retries=UNCHANGED if self.max_retries is None else self.max_retries,
            labels=labels,
            engine_tags=self.tags if self.tags or self.no_tags else UNCHANGED,
            transfer_mode=self._transfer_mode(),
            profile=profile,
            container=container,
            etag=etag,
        )

    def _transfer_mode(self) -> Any:
        if self.transfer is None:
            return UNCHANGED
        return None if self.transfer == "none" else TransferMode(self.transfer.upper())


def _each(jobs: tuple[str, ...], action: Callable[[Client, str], Awaitable[Job]], done: str) -> int:
    return do_each([job_id(job) for job in jobs], action, plural="jobs", done=done)
