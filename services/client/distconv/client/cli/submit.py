"""dcctl submit: upload videos and create a job for each."""

from dataclasses import dataclass
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
from distconv.client.cli.running import run
from distconv.client.cli.views import View, make_view
from distconv.client.client import Client
from distconv.client.job import Job
from distconv.client.local import check_source
from distconv.client.stored import StoredObject
from distconv.core.errors import DistconvError, NotFoundError
from distconv.core.profile import Container, Profile


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
    """
    common = Common.current()
    from_file(profile)
    wanted = Container(container) if container else None
    with make_view(progress, as_json=common.as_json) as view:
        submission = _Submission(common, view, priority, labels, max_retries)
        submitted = run(submission.run(sources, profile, wanted))
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

    def __init__(
        self,
        common: Common,
        view: View,
        priority: int,
        labels: dict[str, str],
        max_retries: int | None,
    ) -> None:
        self._common = common
        self._view = view
        self._priority = priority
        self._labels = labels
        self._max_retries = max_retries
        self._errors: list[tuple[Path, DistconvError]] = []
        self._several = False

    async def run(
        self, sources: tuple[Path, ...], profile: str, container: Container | None
    ) -> list[_Submitted]:
        """Submit every source that can be."""
        self._several = len(sources) > 1
        usable = [source for source in sources if self._is_usable(source)]
        if not usable:
            return []
        async with open_client(self._common, note=self._view.note) as client:
            sent, _ = await chosen(client, profile, container)
            jobs = [await self._submit(client, source, sent, container) for source in usable]
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
        self, client: Client, source: Path, profile: str | Profile, container: Container | None
    ) -> Job | None:
        try:
            job = await self._on_stored(client, source, profile, container)
            if job is None:
                stored = await client.upload(
                    source,
                    labels=self._labels,
                    resume=True,
                    on_progress=resumable_steps(self._view, f"the upload of '{source}'"),
                )
                job = await self._create(client, stored, source, profile, container)
        except DistconvError as error:
            self._fail(source, error)
            return None
        if not self._common.as_json:
            if self._several:
                print_made(job.id, str(source), note=self._view.note)
            else:
                print(job.id, flush=True)
        return job

    async def _on_stored(
        self, client: Client, source: Path, profile: str | Profile, container: Container | None
    ) -> Job | None:
        """Create the job on what is stored already; None when that has to be sent."""
        stored = await client.find_stored(source)
        if stored is None:
            return None
        try:
            job = await self._create(client, stored, source, profile, container)
        except NotFoundError as error:
            if error.metadata.get("field") != "job.source.object":
                raise
            return None  # it was deleted meanwhile
        self._view.note(f"'{source}' is stored already as {stored.name}: nothing was sent")
        return job

    async def _create(
        self,
        client: Client,
        stored: StoredObject,
        source: Path,
        profile: str | Profile,
        container: Container | None,
    ) -> Job:
        return await client.create_job(
            source=stored,
            profile=profile,
            file_name=source.name,
            container=container,
            priority=self._priority,
            labels=self._labels,
            max_retries=self._max_retries,
        )

    def _fail(self, source: Path, error: DistconvError) -> None:
        self._errors.append((source, error))
        Failing().report(error)
