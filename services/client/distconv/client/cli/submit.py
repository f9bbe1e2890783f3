"""dcctl submit: upload videos and create a job for each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from distconv.client.cli.connecting import open_client
from distconv.client.cli.exit_codes import ExitCode
from distconv.client.cli.failing import FailedInputsError, Failing, code_of, told
from distconv.client.cli.job_options import job_options, progress_option
from distconv.client.cli.jsonable import jsonable, print_json
from distconv.client.cli.made import print_made
from distconv.client.cli.options import Common, common_options
from distconv.client.cli.profile_choice import chosen, from_file
from distconv.client.cli.resuming import resumable_steps
from distconv.client.cli.running import run, telling_if_interrupted
from distconv.client.cli.views import View, make_view
from distconv.client.client import Client
from distconv.client.job import Job
from distconv.client.local import check_source
from distconv.client.new_job import NewJob
from distconv.client.remembered import file_key
from distconv.client.unended_run import AskedJob, UnendedRun
from distconv.core.errors import DistconvError, NotFoundError
from distconv.core.profile import Container, Profile
from distconv.core.states import JobState
from distconv.core.transfer import TransferMode

# Whoever runs the command again does not want such a job, but another try.
_UNWANTED = (JobState.FAILED, JobState.CANCELLED)


@click.command("submit", short_help="Upload videos and create a job for each.")
@click.argument(
    "sources",
    metavar="INPUT...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, readable=False),
)
@job_options
@click.option(
    "--max-retries", type=click.IntRange(0, 100), help="Failed attempts allowed after the first."
)
@progress_option
@common_options
def command(
    *,
    sources: tuple[Path, ...],
    profile: str,
    container: str | None,
    priority: int,
    labels: dict[str, str],
    transfer: TransferMode | None,
    max_retries: int | None,
    progress: str,
) -> int:
    """Upload each INPUT, create a job for it, and print the jobs' ids, one a line.

    Of several inputs the file stands beside each id on a terminal; elsewhere stdout
    has the ids alone, and stderr says which is whose. With --json each job has its
    file as "input".

    What is stored already, with the same content, is not sent again.
    An input that fails is reported and the others go on; the exit code is then
    that of the first that failed.

    When it ends early, whatever ends it, or some inputs failed, the same command
    within a day makes no second job of an input, unless the first has failed or
    was cancelled. After that, or when all went well, it makes new ones.
    """
    common = Common.current()
    from_file(profile)
    with make_view(progress, as_json=common.as_json) as view:
        order = _Order(
            profile=profile,
            container=Container(container) if container else None,
            priority=priority,
            labels=labels,
            transfer_mode=transfer,
            max_retries=max_retries,
        )
        submission = _Submission(common, view)
        submitted = run(submission.run(sources, order))
    if common.as_json:
        # One document, whatever failed: a script must not lose the jobs that were created.
        jobs = [one.as_json() for one in submitted]
        print_json({"jobs": jobs, "errors": submission.errors()})
        return submission.exit_code()
    submission.conclude(len(sources))
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Submitted:
    """An input, as it was given, and its job."""

    source: Path
    job: Job

    def as_json(self) -> dict[str, Any]:
        """Return the job with its input."""
        return {"input": str(self.source), **jsonable(self.job)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What every job of a run is to be like."""

    profile: str | Profile
    container: Container | None
    priority: int
    labels: dict[str, str]
    transfer_mode: TransferMode | None
    max_retries: int | None

    async def create(
        self, client: Client, stored: str, *, file_name: str, request_id: str = ""
    ) -> Job:
        """Create a job on an object; see `Client.create_job`."""
        return await client.create_job(
            source=stored,
            profile=self.profile,
            file_name=file_name,
            container=self.container,
            priority=self.priority,
            labels=self.labels,
            transfer_mode=self.transfer_mode,
            max_retries=self.max_retries,
            request_id=request_id,
        )

    def keys(self, sources: Sequence[Path], **where: str) -> list[str]:
        """Return what the job of each source is known by; a file named twice has two jobs."""
        like = NewJob(
            source="",
            profile=self.profile,
            container=self.container,
            priority=self.priority,
            labels=self.labels,
            transfer_mode=self.transfer_mode,
            max_retries=self.max_retries,
        ).likeness()
        named: Counter[Path] = Counter()
        keys = []
        for source in sources:
            named[source] += 1
            keys.append(file_key(source, order=like, time=named[source], **where))
        return keys


class _Submission:
    """One run of the command."""

    def __init__(self, common: Common, view: View) -> None:
        self._common = common
        self._view = view
        self._errors: list[tuple[Path, DistconvError]] = []
        self._several = False

    async def run(self, sources: tuple[Path, ...], order: _Order) -> list[_Submitted]:
        """Submit every source that can be."""
        self._several = len(sources) > 1
        usable = [source for source in sources if self._is_usable(source)]
        if not usable:
            return []
        async with open_client(self._common, note=self._view.note) as client:
            sent, _ = await chosen(client, str(order.profile), order.container)
            order = replace(order, profile=sent)
            keys = order.keys(usable, server=client.address, tenant=self._common.tenant)
            after = "jobs that were submitted go on; the same command submits the others"
            with telling_if_interrupted(after, self._view.note), UnendedRun(keys) as unended:
                jobs = [
                    await self._submit(client, source, order, unended, key)
                    for source, key in zip(usable, keys, strict=True)
                ]
                if not self._errors:
                    unended.done()
        return [
            _Submitted(source=source, job=job)
            for source, job in zip(usable, jobs, strict=True)
            if job is not None
        ]

    def conclude(self, count: int) -> None:
        """Raise when any input failed."""
        if self._errors:
            raise FailedInputsError(
                f"{len(self._errors)} of {count} inputs could not be submitted",
                self.exit_code(),
            )

    def errors(self) -> list[dict[str, str]]:
        """Return what failed and why, an entry for each input."""
        return [{"input": str(source), **told(error)} for source, error in self._errors]

    def exit_code(self) -> ExitCode:
        """Return the exit code of the first input that failed, 0 when none did."""
        return code_of(self._errors[0][1]) if self._errors else ExitCode.OK

    def _is_usable(self, source: Path) -> bool:
        try:
            check_source(source)
        except DistconvError as error:
            self._fail(source, error)
            return False
        return True

    async def _submit(
        self, client: Client, source: Path, order: _Order, unended: UnendedRun, key: str
    ) -> Job | None:
        try:
            job = (
                await self._asked_before(client, source, order, unended.asked(key))
                or await self._on_stored(client, source, order, unended, key)
                or await self._on_sent(client, source, order, unended, key)
            )
        except DistconvError as error:
            self._fail(source, error)
            return None
        if not self._common.as_json:
            if self._several:
                print_made(job.id, str(source), note=self._view.note)
            else:
                print(job.id, flush=True)
        return job

    async def _asked_before(
        self, client: Client, source: Path, order: _Order, asked: AskedJob | None
    ) -> Job | None:
        """Return the job that a run which did not end has asked for; None when it is of no use."""
        if asked is None:
            return None
        try:
            job = await order.create(
                client, asked.source, file_name=source.name, request_id=asked.request_id
            )
        except NotFoundError:  # the job, or what it was to be made of, was deleted meanwhile
            return None
        if job.state in _UNWANTED or job.delete_time is not None:
            return None
        self._view.note(
            f"'{source}' was submitted as job {job.id} by a run that did not end: "
            "no second job was made"
        )
        return job

    async def _on_stored(
        self, client: Client, source: Path, order: _Order, unended: UnendedRun, key: str
    ) -> Job | None:
        """Create the job on what is stored already; None when that has to be sent."""
        stored = await client.find_stored(source)
        if stored is None or stored.is_transient:
            return None
        try:
            job = await self._asked(client, source, order, unended.ask(key, stored.name))
        except NotFoundError as error:
            if error.metadata.get("field") != "job.source.object":
                raise
            return None  # it was deleted meanwhile
        self._view.note(f"'{source}' is stored already as {stored.name}: nothing was sent")
        return job

    async def _on_sent(
        self, client: Client, source: Path, order: _Order, unended: UnendedRun, key: str
    ) -> Job:
        stored = await client.upload(
            source,
            labels=order.labels,
            resume=True,
            on_progress=resumable_steps(self._view, f"the upload of '{source}'"),
        )
        return await self._asked(client, source, order, unended.ask(key, stored.name))

    async def _asked(self, client: Client, source: Path, order: _Order, asked: AskedJob) -> Job:
        return await order.create(
            client, asked.source, file_name=source.name, request_id=asked.request_id
        )

    def _fail(self, source: Path, error: DistconvError) -> None:
        self._errors.append((source, error))
        Failing().report(error)
