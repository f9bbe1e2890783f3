"""dcctl transcode: from file to file."""

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import click

from distconv.client.cli.connecting import open_client
from distconv.client.cli.each import can_ask
from distconv.client.cli.failing import TimedOutError
from distconv.client.cli.job_options import job_options, progress_option
from distconv.client.cli.jsonable import print_json
from distconv.client.cli.naming import container_for, placed
from distconv.client.cli.options import Common, OutputPath, common_options
from distconv.client.cli.outcome import Outcome
from distconv.client.cli.profile_choice import chosen, from_file
from distconv.client.cli.resuming import resumable_steps
from distconv.client.cli.running import run
from distconv.client.cli.system import System
from distconv.client.cli.views import View, job_line, make_view
from distconv.client.cli.where import Place, place
from distconv.client.client import Client
from distconv.client.job import Job, JobOutput
from distconv.client.local import check_output, check_source
from distconv.client.stored import Direction, Transfer
from distconv.core.errors import (
    AlreadyExistsError,
    DiskFullError,
    DistconvError,
    UnavailableError,
)
from distconv.core.profile import Container
from distconv.core.states import JobState
from distconv.core.transfer import TransferMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line asks for."""

    source: Path
    output: Path
    profile: str
    container: Container | None
    overwrite: bool
    priority: int
    labels: dict[str, str]
    transfer_mode: TransferMode | None
    overlap: bool
    keep: bool
    embedded: bool
    data_dir: Path | None
    timeout: timedelta | None
    reconnect: timedelta


@click.command("transcode", short_help="Transcode a video, from file to file.")
# What is wrong with an input is said by check_source, with the exit code for inputs.
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path, readable=False))
@click.option(
    "--output", "-o", required=True, type=OutputPath(),
    help="Where the result goes; its ending chooses the container. A folder keeps the name.",
)  # fmt: skip
@job_options
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
@click.option("--embedded", is_flag=True, help="Start a server of one's own for as long as needed.")
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path),
    help="Where the embedded server keeps its data.  [default: a folder that is removed again]",
)  # fmt: skip
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
    help="Give up after so long, waiting for an engine included.  [default: never]",
)  # fmt: skip
@click.option(
    "--reconnect", "reconnect_s", type=click.FloatRange(min=0), default=60.0, show_default=True,
    metavar="SECONDS", help="How long a server that was there may be gone.",
)  # fmt: skip
@click.option(
    "--overlap/--no-overlap", default=True, show_default=True,
    help="Upload, encode and download at once, or one after the other.",
)  # fmt: skip
@click.option("--keep", is_flag=True, help="Leave source and result on the server too.")
@progress_option
@common_options
def command(
    *,
    source: Path,
    output: Path,
    profile: str,
    container: str | None,
    overwrite: bool,
    priority: int,
    labels: dict[str, str],
    transfer: TransferMode | None,
    embedded: bool,
    data_dir: Path | None,
    timeout_s: float | None,
    reconnect_s: float,
    overlap: bool,
    keep: bool,
    progress: str,
) -> int:
    """Transcode the video INPUT and put the result at OUTPUT.

    Upload, encode and download go on at once: the whole takes about as long as
    the slowest of them.

    Without --server or --embedded it goes to $DISTCONV_SERVER, else to a
    server on this machine, else it starts one for as long as it takes. Ctrl-C
    cancels the job. The result appears whole, or not at all.

    When it is killed or loses its server, the job goes on there, and the same
    command within a day goes on with it. What is stored already, with the same
    content, is not sent again.
    """
    common = Common.current()
    wish = Wish(
        source=source,
        output=output,
        profile=profile,
        container=container_for(output, container),
        overwrite=overwrite,
        priority=priority,
        labels=labels,
        transfer_mode=transfer,
        overlap=overlap,
        keep=keep,
        embedded=embedded,
        data_dir=data_dir,
        timeout=None if timeout_s is None else timedelta(seconds=timeout_s),
        reconnect=timedelta(seconds=reconnect_s),
    )
    size = check_source(source)
    from_file(profile)  # a file that is no profile is found out before anything starts
    if not output.is_dir():
        wish = replace(wish, overwrite=_checked(output, source=source, overwrite=overwrite))
    with make_view(progress, as_json=common.as_json) as view:
        outcome = run(_Command(wish, common, view, source_bytes=size).run())
    if common.as_json:
        print_json(outcome.as_json())
    else:
        print(*outcome.lines(), sep="\n", flush=True)
    return 0


def _checked(output: Path, *, source: Path, overwrite: bool) -> bool:
    """Check the output, ask about one that exists, and return whether it may be replaced.

    Raises AlreadyExistsError for a no, and where nobody can be asked.
    """
    try:
        check_output(output, overwrite=overwrite, source=source)
    except AlreadyExistsError:
        if not can_ask():
            raise
        if not click.confirm(f"'{output}' exists. Replace it?", err=True):
            raise
        return True
    return overwrite


class _Command:
    """One run of the command."""

    def __init__(self, wish: Wish, common: Common, view: View, *, source_bytes: int) -> None:
        self._wish = wish
        self._common = common
        self._view = view
        self._source_bytes = source_bytes
        self._job: Job | None = None
        self._system: System | None = None
        self._steps = {
            Direction.UPLOAD: resumable_steps(view, f"the upload of '{wish.source}'"),
            Direction.DOWNLOAD: resumable_steps(view, f"the download to '{wish.output}'"),
        }

    async def run(self) -> Outcome:
        """Do it, within the time allowed."""
        limit = self._wish.timeout
        scope = asyncio.timeout(limit.total_seconds() if limit else None)
        try:
            async with scope:
                return await self._somewhere()
        except TimeoutError:
            if not scope.expired() or limit is None:
                raise
            standing = job_line(self._job) if self._job is not None else "nothing was begun"
            raise TimedOutError(
                f"not done within {limit.total_seconds():g} s ({standing}); it was given up"
            ) from None

    async def _somewhere(self) -> Outcome:
        async with place(
            self._common,
            embedded=self._wish.embedded,
            data_dir=self._wish.data_dir,
            room_bytes=self._source_bytes,
            note=self._view.note,
        ) as where:
            self._system = where.system
            try:
                return await where.guarded(self._at(where))
            except DistconvError as error:
                self._advise(where, error)
                raise

    async def _at(self, where: Place) -> Outcome:
        wish = self._wish
        async with open_client(
            self._common,
            address=where.address,
            known_as=where.known_as,
            reconnect=wish.reconnect,
            note=self._view.note,
        ) as client:
            profile, applied = await chosen(
                client,
                wish.profile,
                wish.container,
                output=wish.output if wish.output.suffix else None,
            )
            output = placed(wish.output, stem=wish.source.stem, container=applied.container)
            check_output(output, overwrite=wish.overwrite, source=wish.source)
            began = time.monotonic()
            try:
                result = await client.transcode(
                    wish.source,
                    output,
                    profile=profile,
                    container=wish.container,
                    overwrite=wish.overwrite,
                    priority=wish.priority,
                    labels=wish.labels,
                    transfer_mode=wish.transfer_mode,
                    # What is in a folder that is about to be removed needs no tidying.
                    keep=wish.keep or where.ephemeral,
                    overlap=wish.overlap,
                    # What was left in a folder that was removed is gone.
                    resume=not where.ephemeral,
                    on_progress=self._step,
                    on_note=self._view.note,
                )
            except AlreadyExistsError as error:
                if where.ephemeral:
                    await self._rescue(client, output, error)
                raise
            return Outcome(
                job=result.job,
                output=result.output,
                path=result.path.absolute(),
                source_bytes=self._source_bytes,
                elapsed=timedelta(seconds=time.monotonic() - began),
                was_left=result.was_left,
            )

    def _step(self, step: Transfer | Job) -> None:
        if isinstance(step, Job):
            if step.wait_reason and self._system is not None and self._system.is_starting:
                step = replace(step, wait_reason="its engine is starting")
            self._job = step
            self._view.step(step)
        else:
            self._steps[step.direction](step)

    async def _rescue(self, client: Client, output: Path, error: AlreadyExistsError) -> None:
        """Put a result beside the file that came to stand in its place, and say where.

        It would be lost with the server, which ends with this command.
        """
        job = self._job
        if job is None or job.output is None:
            return
        beside = output.with_name(f"{output.stem}.{job.id}{output.suffix}")
        await client.download(job.output.object, beside, on_progress=self._view.step)
        error.metadata["saved_as"] = str(beside.absolute())
        self._view.note(f"the result is not lost: it is at '{beside}'")

    def _advise(self, where: Place, error: DistconvError) -> None:
        """Say what is left at a server that outlives this command."""
        job = self._job
        if job is None or where.ephemeral:
            return
        if job.state is JobState.COMPLETED and job.output is not None:
            error.metadata |= {"job": job.name, "object": job.output.object}
            self._view.note(kept(job, job.output, error))
        elif not job.state.is_terminal and isinstance(error, UnavailableError):
            self._view.note(f"the job may go on there: dcctl jobs watch {job.id}")


def kept(job: Job, output: JobOutput, error: DistconvError) -> str:
    """Say where the result of a job lies that could not be put in its place, and how to get it."""
    again = ""
    if isinstance(error, DiskFullError):
        again = "once there is room the same command goes on with it, or "
    return (
        f"the result is not lost: it is {output.object} at the server; {again}fetch it with "
        f"'dcctl download {job.id} -o OUTPUT'"
    )
