"""dcctl submit: upload videos and create a job for each."""

from collections import Counter
from collections.abc import Mapping, Sequence
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
from distconv.client.job_start import JobStart
from distconv.client.local import check_source
from distconv.client.new_job import NewJob
from distconv.client.remembered import file_key
from distconv.client.unended_run import UnendedRun
from distconv.core.errors import DistconvError
from distconv.core.profile import Container
from distconv.core.transfer import TransferMode


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

    When it ends early, whatever ends it, or some inputs failed, a command within a
    day that names the same file, profile and options makes no second job of it,
    unless the first has failed or was cancelled, or its result is gone. After that,
    or when all went well, it makes new ones.
    """
    common = Common.current()
    from_file(profile)
    with make_view(progress, as_json=common.as_json) as view:
        order = NewJob(
            source="",
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


class _Submission:
    """One run of the command."""

    def __init__(self, common: Common, view: View) -> None:
        self._common = common
        self._view = view
        self._errors: list[tuple[Path, DistconvError]] = []
        self._several = False

    async def run(self, sources: tuple[Path, ...], order: NewJob) -> list[_Submitted]:
        """Submit every source that can be."""
        self._several = len(sources) > 1
        usable = [source for source in sources if self._is_usable(source)]
        if not usable:
            return []
        async with open_client(self._common, note=self._view.note) as client:
            sent, _ = await chosen(client, str(order.profile), order.container)
            order = replace(order, profile=sent)
            keys = _keys(usable, order, server=client.known_as, tenant=self._common.tenant)
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
        self, client: Client, source: Path, order: NewJob, unended: UnendedRun, key: str
    ) -> Job | None:
        start = JobStart(
            client,
            replace(order, file_name=source.name),
            keep=True,
            unended=unended,
            key=key,
            on_note=self._view.note,
            tell_left=lambda job: (
                f"'{source}' was submitted as job {job.id} by an earlier run that did not "
                "succeed wholly: no second job was made"
            ),
        )
        try:
            begun = await start.begun(source)
            if begun is not None:
                job = begun.job
            else:
                job = await self._on_sent(client, source, order.labels, start)
        except DistconvError as error:
            self._fail(source, error)
            return None
        if not self._common.as_json:
            if self._several:
                print_made(job.id, str(source), note=self._view.note)
            else:
                print(job.id, flush=True)
        return job

    async def _on_sent(
        self, client: Client, source: Path, labels: Mapping[str, str], start: JobStart
    ) -> Job:
        stored = await client.upload(
            source,
            labels=labels,
            resume=True,
            on_progress=resumable_steps(self._view, f"the upload of '{source}'"),
        )
        return await start.create(stored.name)

    def _fail(self, source: Path, error: DistconvError) -> None:
        self._errors.append((source, error))
        Failing().report(error)


def _keys(sources: Sequence[Path], order: NewJob, **where: str) -> list[str]:
    """Return what the job of each source is known by; a file named twice has two jobs."""
    named: Counter[str] = Counter()
    keys = []
    for source in sources:
        like = replace(order, file_name=source.name).likeness()
        # Counted by what it is, not by how it is written: there are many ways to one file.
        alike = file_key(source, order=like, **where)
        named[alike] += 1
        keys.append(file_key(source, order=like, time=named[alike], **where))
    return keys
