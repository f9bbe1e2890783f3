"""`distconv-dispatch backup` and `restore`: the embedded database, copied and put back."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from distconv.core.clock import SystemClock
from distconv.core.errors import DistconvError, InvalidArgumentError
from distconv.dispatch.settings import TABLE, DispatchSettings
from distconv.dispatch.store import backup
from distconv.process.command import EXIT_FAILED, EXIT_USAGE
from distconv.process.data_dir import owned
from distconv.process.settings import load

_FILE = click.Path(path_type=Path, dir_okay=False)


def _located(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--data-dir",
            type=click.Path(path_type=Path, file_okay=False),
            help="Folder of the database.",
        ),
        click.option("--config", "config_file", type=_FILE, help="TOML file with settings."),
    ):
        function = option(function)
    return function


@click.command("backup")
@click.option("--to", "target", type=_FILE, help="File to write.  [default: one in backups/]")
@_located
def backup_command(target: Path | None, **where: Any) -> None:
    """Copy the embedded database, checked, while dispatch may be running."""
    with _Told():
        database = _database(where)
        name = backup.name_at(SystemClock().now())
        chosen = target or backup.folder_of(database) / name
        size_bytes = backup.make(database, chosen)
        click.echo(f"{chosen}: {size_bytes} bytes, checked")


@click.command("restore")
@click.argument("source", metavar="FILE", type=_FILE)
@_located
def restore_command(source: Path, **where: Any) -> None:
    """Put a backup in the place of the embedded database; dispatch must not run.

    The backup is checked first. What it replaces is moved aside, never deleted.
    """
    with _Told():
        database = _database(where)
        with owned(database.parent, "dispatch"):
            moved = backup.restore(source, database, now=SystemClock().now())
        for path in moved:
            click.echo(f"moved aside: {path}")
        click.echo(f"{database} is {source} now; start distconv-dispatch")


def _database(where: dict[str, Any]) -> Path:
    flags = {"data_dir": where["data_dir"]}
    settings, _ = load(DispatchSettings, table=TABLE, flags=flags, config_file=where["config_file"])
    if settings.database_url:
        raise InvalidArgumentError(
            "database_url is set: this dispatch keeps everything in PostgreSQL; back it up with "
            "pg_dump or with your server's own means",
            field="database_url",
        )
    return settings.database


class _Told:
    """Turn an error of the tree into one sentence and an exit code."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DistconvError):
            click.echo(f"error: {error.message}", err=True)
            sys.exit(EXIT_USAGE if isinstance(error, InvalidArgumentError) else EXIT_FAILED)
