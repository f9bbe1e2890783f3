"""distconv-storage: the storage service as a process of its own."""

import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path

import click
import structlog

from distconv.core.errors import DistconvError, InvalidArgumentError
from distconv.core.version import __version__
from distconv.process.settings import load, show
from distconv.storage.settings import TABLE, StorageSettings

_log = structlog.get_logger()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--bind", metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder to keep everything in.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings, a TOML file.")
@click.option(
    "--media-key-file",
    type=click.Path(path_type=Path),
    help="Key shared with dispatch that signs media tokens.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--show-config", is_flag=True, help="Print every setting with its source and exit.")
@click.version_option(__version__, prog_name="distconv-storage")
def main(*, config: Path | None, show_config: bool, **flags: object) -> None:
    """Run the storage service until it gets SIGTERM or SIGINT.

    Prints one JSON line on stdout once it listens: {"ready": true, "address": "HOST:PORT"}.
    """
    try:
        settings, sources = load(StorageSettings, table=TABLE, flags=flags, config_file=config)
        if show_config:
            click.echo(show(settings, sources))
            return
        _run(settings)
    except DistconvError as error:
        click.echo(f"distconv-storage: {error.message}", err=True)
        sys.exit(1)


def _run(settings: StorageSettings) -> None:
    # Behind --help and --show-config, which need none of it.
    from distconv.process.logs import configure_logs  # noqa: PLC0415
    from distconv.process.run import run  # noqa: PLC0415

    configure_logs(level=settings.log_level)
    run(lambda stop: _serve(settings, stop))


async def _serve(settings: StorageSettings, stop: asyncio.Event) -> int:
    from distconv.core.clock import SystemClock  # noqa: PLC0415
    from distconv.rpc.server import ServerSettings, start_server  # noqa: PLC0415
    from distconv.rpc.tokens import MediaTokens, load_or_make_key  # noqa: PLC0415
    from distconv.storage.app import StorageApp  # noqa: PLC0415
    from distconv.storage.service import storage_service  # noqa: PLC0415

    clock = SystemClock()
    try:
        tokens = MediaTokens(load_or_make_key(settings.key_file), clock)
    except (OSError, ValueError) as error:
        raise InvalidArgumentError(
            f"the media key {settings.key_file} cannot be used: {error}; "
            "give --media-key-file the file that dispatch uses, or remove it to have one made"
        ) from error
    app = StorageApp(settings, clock)
    try:
        await app.start()
        grace = timedelta(seconds=settings.drain_grace_s)
        server = await start_server(
            ServerSettings(bind=settings.bind, drain_grace=grace), [storage_service(app, tokens)]
        )
        try:
            click.echo(json.dumps({"ready": True, "address": server.address}))
            _log.info("storage_started", address=server.address, data_dir=str(settings.data_dir))
            await stop.wait()
            _log.info("storage_stopping")
        finally:
            await server.stop()
    finally:
        await app.stop()
    return 0


if __name__ == "__main__":
    main()
