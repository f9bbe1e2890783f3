"""dcctl objects: list, send, fetch, delete and collect the files in storage."""

from collections.abc import Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from pathlib import Path

import click

from distconv.client.cli import text
from distconv.client.cli.connecting import open_client
from distconv.client.cli.each import confirm, do_each
from distconv.client.cli.job_options import progress_option, read_labels
from distconv.client.cli.jsonable import print_json
from distconv.client.cli.lazy import SuggestingGroup
from distconv.client.cli.naming import check_ending, result_container, result_name, within
from distconv.client.cli.options import Common, OutputPath, common_options
from distconv.client.cli.resuming import fetch, resumable_steps
from distconv.client.cli.running import run
from distconv.client.cli.tables import print_table
from distconv.client.cli.views import View, make_view
from distconv.client.cli.when import When
from distconv.client.client import Client
from distconv.client.job import Job
from distconv.client.local import check_output, sendable_name
from distconv.client.stored import CollectedObject, StoragePool, StoredObject, nothing_sent
from distconv.core.descriptions import JOB_LABEL
from distconv.core.errors import DamagedObjectError, NotFoundError
from distconv.core.names import bare

_COLUMNS = ("ID", "STATE", "SIZE", "FILE", "OUTPUT OF", "AGE", "LABELS", "SHA256")
# What goes first where a line is short.
_DISPENSABLE = ("SHA256", "LABELS", "AGE", "STATE")


@click.group("objects", cls=SuggestingGroup)
@common_options
def group() -> None:
    """List, send, fetch and delete stored files.

    Ids may be shortened.
    """


@group.command("list")
@click.option("--prefix", metavar="TEXT", default="", help="Only files whose name begins so.")
@click.option(
    "--label", "labels", metavar="KEY=VALUE", multiple=True, callback=read_labels,
    help="Only files with this label; repeatable.",
)  # fmt: skip
@click.option(
    "--since", type=When(ago=True), metavar="WHEN",
    help="Only files made since then: a time, or a span back from now, as 2h.",
)  # fmt: skip
@click.option(
    "--before", type=When(ago=True), metavar="WHEN", help="Only files made before then, as 30d.",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many."
)
@click.option("--all", "everything", is_flag=True, help="As many as there are.")
@common_options
def list_command(
    *,
    prefix: str,
    labels: dict[str, str],
    since: datetime | None,
    before: datetime | None,
    limit: int,
    everything: bool,
) -> int:
    """List stored files, newest first; of an output also the job that it was made for."""
    common = Common.current()
    found, more = run(
        _listed(common, None if everything else limit, prefix, labels, (since, before))
    )
    if common.as_json:
        print_json({"objects": found})
        return 0
    now = datetime.now(UTC)
    print_table(
        _COLUMNS, [_row(stored, now) for stored in found],
        empty="no objects", dispensable=_DISPENSABLE,
    )  # fmt: skip
    if more:
        click.echo(f"the first {limit}; there are more: --limit or --all", err=True)
    return 0


@group.command("put")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True,
    type=click.Path(path_type=Path, readable=False),
)  # fmt: skip
@click.option(
    "--label", "labels", metavar="KEY=VALUE", multiple=True, callback=read_labels,
    help="A label of your own; repeatable.",
)  # fmt: skip
@progress_option
@common_options
def put_command(*, files: tuple[Path, ...], labels: dict[str, str], progress: str) -> int:
    """Upload each FILE and print the objects' ids, one a line.

    Of several files each stands beside its id on a terminal; elsewhere stdout has the
    ids alone, and stderr says which is whose. With --json it is "input".

    What is stored already, with the same content, name and labels, is not sent
    again: its id is printed. When it ends early, whatever ends it, the same
    command goes on where it broke off.
    """
    with make_view(progress, as_json=Common.current().as_json) as view:

        async def put(client: Client, file: str) -> StoredObject:
            if (stored := await client.find_stored(Path(file))) and _is_called(
                stored, Path(file), labels
            ):
                view.note(nothing_sent(Path(file), stored))
                return stored
            return await client.upload(
                Path(file),
                labels=labels,
                resume=True,
                on_progress=resumable_steps(view, f"the upload of '{file}'"),
            )

        names = [str(file) for file in files]
        return do_each(
            names, put, plural="objects", done="uploaded", note=view.note, made_of_files=True
        )


@group.command("get")
@click.argument("name", metavar="OBJECT")
@click.option(
    "--output", "-o", type=OutputPath(), default=Path(), show_default=False,
    help="Where it goes; a folder keeps the file's name, or of a result its source's.  "
    "[default: here]",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace an output that exists.")
@progress_option
@common_options
def get_command(*, name: str, output: Path, overwrite: bool, progress: str) -> int:
    """Fetch OBJECT into a file, which appears whole, checked against its digest, or not at all.

    When it ends early, whatever ends it, the same command goes on where it broke off.
    Of a job's result an output whose ending is of another container is refused.
    """
    common = Common.current()
    with make_view(progress, as_json=common.as_json) as view:
        path, stored = run(_got(common, view, name, output, overwrite=overwrite))
    if common.as_json:
        print_json({"output": path, "object": stored})
    else:
        print(path)
    return 0


@group.command("rm")
@click.argument("names", metavar="OBJECT...", nargs=-1, required=True)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@common_options
def rm_command(*, names: tuple[str, ...], yes: bool) -> int:
    """Delete stored files for good.

    One that a job needs which has not ended is refused: cancel the job first.
    """
    count = len(names)
    confirm(f"Delete {count} stored file{'' if count == 1 else 's'} for good?", yes=yes)

    async def remove(client: Client, name: str) -> StoredObject:
        try:
            stored = await client.get_object(name)
        except DamagedObjectError as error:  # nothing can be told of it but its name
            damaged = error.metadata.get("object", name)
            stored = StoredObject(name=damaged, size_bytes=0, sha256="")
        await client.delete_object(stored.name)
        return stored

    return do_each(names, remove, plural="objects", done="deleted")


@group.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be collected.")
@common_options
def gc_command(*, dry_run: bool) -> int:
    """Collect what no job needs any more, and say what it was.

    Those are outputs that did not win, results that have expired, abandoned uploads
    and what a crash left; never what was uploaded whole. Servers do so by themselves
    now and then.
    """
    common = Common.current()
    found = run(_collected(common, dry_run=dry_run))
    total = sum(one.size_bytes for one in found)
    if common.as_json:
        print_json({"collected": found, "size_bytes": total, "dry_run": dry_run})
        return 0
    rows = [
        (bare(one.name, "objects"), one.reason.value, text.size(one.size_bytes)) for one in found
    ]
    print_table(("ID", "WHY", "SIZE"), rows, empty="nothing to collect")
    if found:
        done = "would be collected" if dry_run else "collected"
        click.echo(f"{len(found)} objects, {text.size(total)}: {done}", err=True)
    return 0


@group.command("pools")
@common_options
def pools_command() -> int:
    """List the storage pools with their room."""
    common = Common.current()
    pools = run(_pools(common))
    if common.as_json:
        print_json({"pools": pools})
        return 0
    rows = [
        (
            pool.name,
            "" if pool.capacity_bytes is None else text.size(pool.capacity_bytes),
            text.size(pool.used_bytes),
            "unknown" if pool.free_bytes is None else text.size(pool.free_bytes),
        )
        for pool in pools
    ]
    print_table(("POOL", "CAPACITY", "USED", "FREE"), rows, empty="no pools")
    for pool in pools:
        if pool.away_reason:
            click.echo(f"the pool '{pool.name}' is away: {pool.away_reason}", err=True)
    return 0


async def _pools(common: Common) -> Sequence[StoragePool]:
    async with open_client(common) as client:
        return await client.list_pools()


async def _collected(common: Common, *, dry_run: bool) -> Sequence[CollectedObject]:
    async with open_client(common) as client:
        return await client.collect_objects(dry_run=dry_run)


async def _listed(
    common: Common,
    limit: int | None,
    prefix: str,
    labels: dict[str, str],
    times: tuple[datetime | None, datetime | None],
) -> tuple[list[StoredObject], bool]:
    """Return the files, and whether there are more."""
    found: list[StoredObject] = []
    async with (
        open_client(common) as client,
        aclosing(
            client.list_objects(
                file_name_prefix=prefix,
                labels=labels,
                from_time=times[0],
                before_time=times[1],
                page_size=1000 if limit is None else min(limit + 1, 1000),
            )
        ) as objects,
    ):
        async for stored in objects:
            if len(found) == limit:
                return found, True
            found.append(stored)
    return found, False


async def _got(
    common: Common, view: View, name: str, output: Path, *, overwrite: bool
) -> tuple[Path, StoredObject]:
    async with open_client(common, note=view.note) as client:
        stored = await client.get_object(name)
        job = await _job(client, stored)
        if job is not None and job.output is not None and job.output.object == stored.name:
            check_ending(output, result_container(job), what=f"the result of job {job.id}")
        path = within(output, stored.file_name or (result_name(job) if job else stored.id))
        check_output(path, overwrite=overwrite)
        await fetch(client, view, stored.name, path, overwrite=overwrite)
        return path.absolute(), stored


async def _job(client: Client, stored: StoredObject) -> Job | None:
    """Return the job that an object was made for; None when it is deleted, or never was one."""
    if stored.job:
        with suppress(NotFoundError):
            return await client.get_job(stored.job)
    return None


def _is_called(stored: StoredObject, file: Path, labels: dict[str, str]) -> bool:
    """Tell whether a stored file is called as one that is to be put there, and stays."""
    return (
        not stored.is_transient
        and stored.file_name == sendable_name(file.name)
        and stored.labels == labels
    )


def _row(stored: StoredObject, now: datetime) -> tuple[str, ...]:
    return (
        stored.id,
        stored.state.value,
        text.size(stored.size_bytes) if stored.size_bytes else "",
        text.cut(stored.file_name, 40),
        bare(stored.job, "jobs"),
        text.age(stored.create_time, now),
        " ".join(
            f"{key}={value}" for key, value in sorted(stored.labels.items()) if key != JOB_LABEL
        ),
        stored.sha256[:12],
    )
