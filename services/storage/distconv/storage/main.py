"""distconv-storage: the storage service as a process of its own."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import structlog

from distconv.core.errors import InvalidArgumentError
from distconv.process.command import daemon_command, run_daemon, tell_ready
from distconv.storage.settings import TABLE, StorageSettings

_log = structlog.get_logger()


@daemon_command("distconv-storage")
@click.option("--bind", metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder to keep everything in.")
@click.option(
    "--media-key-file",
    type=click.Path(path_type=Path),
    help="Key shared with dispatch that signs media tokens.",
)
def main(**options: Any) -> None:
    """Run the storage service until it gets SIGTERM or SIGINT.

    Prints one line of JSON on stdout when it is ready: {"event": "ready",
    "address": "HOST:PORT", …}.
    """
    sys.exit(run_daemon(StorageSettings, table=TABLE, options=options, serve=_serve))


async def _serve(settings: StorageSettings, stop: asyncio.Event) -> int:
    # Behind --help and --show-config, which need none of it.
    from distconv.core.clock import SystemClock  # noqa: PLC0415
    from distconv.rpc.server import ServerSettings, start_server  # noqa: PLC0415
    from distconv.rpc.tls import ServerTls  # noqa: PLC0415
    from distconv.rpc.tokens import MediaTokens, load_or_make_key  # noqa: PLC0415
    from distconv.storage.app import StorageApp  # noqa: PLC0415
    from distconv.storage.service import storage_service  # noqa: PLC0415

    clock = SystemClock()
    tls = ServerTls.load(settings.tls_cert, settings.tls_key)
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
            ServerSettings(bind=settings.bind, drain_grace=grace, tls=tls),
            [storage_service(app, tokens)],
        )
        try:
            tell_ready(address=server.address)
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
