"""distconv-engine: offer this machine to a dispatch server."""

import sys
from pathlib import Path
from typing import Any

import click

from distconv.core.errors import DistconvError
from distconv.core.version import __version__
from distconv.process.logs import configure_logs
from distconv.process.run import run
from distconv.process.settings import load, show


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--dispatch",
    "dispatch_addresses",
    metavar="HOST:PORT",
    multiple=True,
    help="Dispatch server; repeat for replicas.  [default: 127.0.0.1:7400]",
)
@click.option("--name", "display_name", help="What people call it.  [default: the host's name]")
@click.option("--slots", type=int, help="Attempts at once.  [default: one per 8 processors]")
@click.option("--tag", "tags", multiple=True, help="A tag that jobs may ask for; repeatable.")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Where the engine keeps its identity."
)
@click.option(
    "--ffmpeg",
    type=click.Path(path_type=Path),
    help="The ffmpeg to use.  [default: on PATH, else the bundled one]",
)
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file with settings.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
)
@click.option("--show-config", is_flag=True, help="Print the settings with their sources and exit.")
@click.option("--exit-on-stdin-eof", is_flag=True, hidden=True)
@click.version_option(__version__, prog_name="distconv-engine")
def command(
    *,
    config: Path | None,
    log_level: str,
    show_config: bool,
    exit_on_stdin_eof: bool,
    **flags: Any,
) -> None:
    """Offer this machine to a dispatch server as an engine.

    It only ever connects out. SIGTERM or Ctrl-C gives its work back and ends it.
    """
    from distconv.engine.app import serve  # noqa: PLC0415  # gRPC is slow to load; --help is not
    from distconv.engine.settings import TABLE, EngineSettings  # noqa: PLC0415

    try:
        given = {k: (v if v not in ((), "") else None) for k, v in flags.items()}
        settings, sources = load(EngineSettings, table=TABLE, flags=given, config_file=config)
        if show_config:
            click.echo(show(settings, sources))
            return
        configure_logs(level=log_level)

        sys.exit(
            run(
                lambda stop: serve(settings, log_level=log_level, stop=stop),
                with_parent=exit_on_stdin_eof,
            )
        )
    except DistconvError as error:
        click.echo(f"error: {error.message}", err=True)
        sys.exit(1)


def main() -> None:
    """Be the console script."""
    command()


if __name__ == "__main__":
    main()
