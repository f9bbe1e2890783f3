"""dcctl download: fetch the result of a job."""

from pathlib import Path

import click

from distconv.client.cli.connecting import open_client
from distconv.client.cli.job_options import progress_option
from distconv.client.cli.jsonable import print_json
from distconv.client.cli.naming import check_ending, result_container, result_name, within
from distconv.client.cli.options import Common, OutputPath, common_options
from distconv.client.cli.resuming import fetch
from distconv.client.cli.running import goes_on, run, telling_if_interrupted
from distconv.client.cli.views import View, make_view
from distconv.client.client import Client
from distconv.client.failures import JobCancelledError, JobFailedError
from distconv.client.job import Job, JobOutput
from distconv.client.local import check_output
from distconv.core.errors import FailedPreconditionError, NotFoundError
from distconv.core.ids import parse_id_prefix
from distconv.core.names import bare
from distconv.core.states import JobState


@click.command("download", short_help="Fetch the result of a job.")
@click.argument("job", metavar="JOB")
@click.option(
    "--output", "-o", required=True, type=OutputPath(),
    help="Where the result goes; a folder keeps the source's name.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
@click.option("--wait", is_flag=True, help="Wait for the job first.")
@progress_option
@common_options
def command(*, job: str, output: Path, overwrite: bool, wait: bool, progress: str) -> int:
    """Fetch the result of JOB, whose id may be shortened, into OUTPUT.

    It appears whole, checked against its digest, or not at all. When it ends early,
    whatever ends it, the same command goes on where it broke off. An OUTPUT whose
    ending is of another container than the result is refused.
    """
    common = Common.current()
    name = parse_id_prefix(bare(job, "jobs"))
    if not output.is_dir():
        check_output(output, overwrite=overwrite)
    with make_view(progress, as_json=common.as_json) as view:
        path, result = run(_download(common, view, name, output, overwrite=overwrite, wait=wait))
    if common.as_json:
        print_json({"output": path, "size_bytes": result.size_bytes, "sha256": result.sha256})
    else:
        print(path)
    return 0


async def _download(
    common: Common, view: View, name: str, output: Path, *, overwrite: bool, wait: bool
) -> tuple[Path, JobOutput]:
    async with open_client(common, note=view.note) as client:
        job = await client.get_job(name)
        check_ending(output, result_container(job), what=f"the result of job {job.id}")
        if wait and not job.state.is_terminal:
            job = await _ended(client, view, job)
        result = _result(job)
        path = within(output, result_name(job))
        check_output(path, overwrite=overwrite)
        try:
            await fetch(client, view, result.object, path, overwrite=overwrite)
        except NotFoundError as error:
            raise _gone(job, error) from error
        return path.absolute(), result


async def _ended(client: Client, view: View, job: Job) -> Job:
    with telling_if_interrupted(goes_on(job.id), view.note):
        async for snapshot in client.watch_job(job.name):
            view.step(snapshot)
            job = snapshot
    return job


def _result(job: Job) -> JobOutput:
    if job.state is JobState.FAILED:
        raise JobFailedError(job)
    if job.state is JobState.CANCELLED:
        raise JobCancelledError(job)
    if job.output is None:
        raise FailedPreconditionError(
            f"job {job.id} is {job.state} and has no result yet; pass --wait to wait for it"
        )
    return job.output


def _gone(job: Job, error: NotFoundError) -> NotFoundError:
    return NotFoundError(
        f"the result of job {job.id} is no longer stored ('dcctl transcode' removes it once it "
        "has fetched it, unless --keep); submit the file again",
        metadata={**error.metadata, "job": job.name},
    )
