"""distconv-engine: offer this machine to a dispatch server."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from distconv.engine.settings import TABLE, EngineSettings
from distconv.process.command import daemon_command, run_daemon


@daemon_command("distconv-engine")
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
def main(**options: Any) -> None:
    """Offer this machine to a dispatch server as an engine.

    It only ever connects out. SIGTERM or Ctrl-C gives its work back and ends it.
    """

    async def serve(settings: EngineSettings, stop: asyncio.Event) -> int:
        from distconv.engine import app  # noqa: PLC0415  # gRPC is slow to load; --help is not

        return await app.serve(settings, stop=stop)

    sys.exit(run_daemon(EngineSettings, table=TABLE, options=options, serve=serve))


if __name__ == "__main__":
    main()
