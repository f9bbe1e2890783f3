"""The command distconv-dispatch."""

import asyncio
import json
import sys
from pathlib import Path

import click

from distconv.core.clock import SystemClock
from distconv.core.errors import DistconvError, InvalidArgumentError
from distconv.core.version import __version__
from distconv.dispatch.app import serving
from distconv.dispatch.settings import TABLE, DispatchSettings
from distconv.process.logs import configure_logs
from distconv.process.run import run
from distconv.process.settings import load, show

EXIT_FAILED = 1
EXIT_USAGE = 2


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--bind", metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the database, the media key and embedded storage.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file; its table [dispatch] holds settings.",
)
@click.option(
    "--storage-address",
    "storage_addresses",
    metavar="HOST:PORT",
    multiple=True,
    help="A storage service; may be repeated. Without it storage is embedded.",
)
@click.option("--reflection/--no-reflection", default=None, help="Serve gRPC reflection.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--show-config", is_flag=True, help="Print the settings with their sources, and end.")
@click.option("--exit-on-stdin-eof", is_flag=True, hidden=True)
@click.version_option(__version__, prog_name="distconv-dispatch")
def main(
    bind: str | None,
    data_dir: Path | None,
    config_file: Path | None,
    storage_addresses: tuple[str, ...],
    reflection: bool | None,  # noqa: FBT001  # click hands options over by name
    log_level: str | None,
    show_config: bool,  # noqa: FBT001
    exit_on_stdin_eof: bool,  # noqa: FBT001
) -> None:
    """Run the control plane: jobs, scheduling, engine sessions.

    Prints one line of JSON on stdout when it is ready, logs on stderr. Exit
    codes: 0 stopped as asked, 1 could not start or go on, 2 bad usage or setting.
    """
    flags = {
        "bind": bind,
        "data_dir": data_dir,
        "storage_addresses": storage_addresses or None,
        "reflection": reflection,
        "log_level": log_level,
    }
    try:
        settings, sources = load(
            DispatchSettings, table=TABLE, flags=flags, config_file=config_file
        )
        if show_config:
            click.echo(show(settings, sources))
            return
        configure_logs(level=settings.log_level)
        sys.exit(
            run(lambda stop: _serve(settings, config_file, stop), with_parent=exit_on_stdin_eof)
        )
    except DistconvError as error:
        click.echo(f"error: {error.message}", err=True)
        sys.exit(EXIT_USAGE if isinstance(error, InvalidArgumentError) else EXIT_FAILED)


async def _serve(settings: DispatchSettings, config_file: Path | None, stop: asyncio.Event) -> int:
    async with serving(settings, SystemClock(), config_file=config_file) as address:
        ready = {"event": "ready", "address": address, "version": __version__}
        click.echo(json.dumps(ready))
        await stop.wait()
    return 0


if __name__ == "__main__":
    main()
