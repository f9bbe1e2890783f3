"""distconv-dispatch: the control plane."""

import asyncio
import gc
import sys
from pathlib import Path
from typing import Any

import click
import uvloop

from distconv.core.clock import SystemClock
from distconv.dispatch.backup_commands import backup_command, restore_command
from distconv.dispatch.serving import serving
from distconv.dispatch.settings import TABLE, DispatchSettings
from distconv.process.command import daemon_command, run_daemon, tell_ready
from distconv.process.run import end_within

# Objects made and not freed before a collection looks for cycles; Python's own is 700. A busy
# server makes thousands in a moment, hardly ever in cycles: looking each time took a tenth of its
# processor time.
_COLLECT_AFTER = 50_000
# How much longer than its drain a stop may take before it is forced, seconds.
_LAST_RESORT_S = 20.0


@daemon_command("distconv-dispatch")
@click.option("--bind", metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the database, the media key and embedded storage.",
)
@click.option(
    "--storage-address",
    "storage_addresses",
    metavar="HOST:PORT",
    multiple=True,
    help="A storage service; may be repeated. Without it storage is embedded.",
)
@click.option(
    "--new",
    "new_database",
    is_flag=True,
    default=None,
    help="Make an empty database where one is missing though there are backups.",
)
@click.option("--reflection/--no-reflection", default=None, help="Serve gRPC reflection.")
def serve_command(**options: Any) -> None:
    """Run the control plane: jobs, scheduling, engine sessions.

    Prints one line of JSON on stdout when it is ready, logs on stderr. Exit
    codes: 0 stopped as asked, 1 could not start or go on, 2 bad usage or setting.
    """

    async def serve(settings: DispatchSettings, stop: asyncio.Event) -> int:
        config_file = options["config_file"]  # embedded storage reads its own table of it
        async with serving(settings, SystemClock(), config_file=config_file) as address:
            tell_ready(address=address)
            await stop.wait()
            end_within(settings.drain_grace_s + _LAST_RESORT_S)
        return 0

    gc.set_threshold(_COLLECT_AFTER)
    # uvloop saves a fifth of the processor time that a job costs here.
    loop = uvloop.new_event_loop
    sys.exit(
        run_daemon(DispatchSettings, table=TABLE, options=options, serve=serve, make_loop=loop)
    )


@click.pass_context
def _main(context: click.Context, /, **options: Any) -> None:
    if context.invoked_subcommand is None:
        serve_command.callback(**options)  # type: ignore[misc]  # every command of ours has one


main = click.Group(
    "distconv-dispatch",
    commands=[backup_command, restore_command],
    callback=_main,
    invoke_without_command=True,
    params=serve_command.params,
    help=serve_command.help,
    context_settings=serve_command.context_settings,
)


if __name__ == "__main__":
    main()
