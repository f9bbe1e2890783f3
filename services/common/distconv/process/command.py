"""What the commands of the daemons have in common: options, start, ready line, exit codes."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from distconv.core.errors import DistconvError, InvalidArgumentError
from distconv.core.version import __version__
from distconv.process.logs import configure_logs
from distconv.process.run import MakeLoop, run
from distconv.process.settings import LogLevel, ProcessSettings, load, show

EXIT_FAILED = 1
EXIT_USAGE = 2

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Settings = TypeVar("_Settings", bound=ProcessSettings)


def daemon_command(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """Make the command `name` of a function, with the options that every daemon has.

    The function hands all its options on to `run_daemon`.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        common = _common_options(name)
        for option in reversed(common):
            function = option(function)
        settings = {"help_option_names": ["-h", "--help"]}
        command = click.command(name, context_settings=settings)(function)
        # What a daemon has of its own stands first in its help.
        command.params = command.params[len(common) :] + command.params[: len(common)]
        return command

    return decorate


def _common_options(name: str) -> list[Callable[[_Function], _Function]]:
    return [
        click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path, dir_okay=False),
            help=f"TOML file; its table [{name.removeprefix('distconv-')}] holds settings.",
        ),
        click.option(
            "--log-level",
            type=click.Choice(get_args(LogLevel)),
            help="Least severity to log.  [default: info]",
        ),
        click.option(
            "--show-config", is_flag=True, help="Print the settings with their sources, and end."
        ),
        # For a parent: its children end with it (`distconv.process.parent`).
        click.option("--exit-on-stdin-eof", is_flag=True, hidden=True),
        click.version_option(__version__, prog_name=name),
    ]


def run_daemon(
    model: type[_Settings],
    *,
    table: str,
    options: Mapping[str, Any],
    serve: Callable[[_Settings, asyncio.Event], Awaitable[int]],
    make_loop: MakeLoop | None = None,
) -> int:
    """Load the settings, run `serve(settings, stop)` and return the exit code.

    `options` are those of the command, named as the settings are, and
    `make_loop` is that of `run`. An error of
    the tree becomes one sentence on stderr and EXIT_FAILED, or EXIT_USAGE
    when what was asked for is invalid. A parent that watches over us gets the
    error on stdout instead, as `tell_failed` writes it, and says it in its own way.
    """
    flags = dict(options)
    config_file = flags.pop("config_file")
    show_config = flags.pop("show_config")
    with_parent = flags.pop("exit_on_stdin_eof")
    # An option that may be repeated and was not given is an empty tuple.
    given = {name: None if value == () else value for name, value in flags.items()}
    try:
        settings, sources = load(model, table=table, flags=given, config_file=config_file)
        if show_config:
            click.echo(show(settings, sources))
            return 0
        configure_logs(level=settings.log_level)
        return run(lambda stop: serve(settings, stop), with_parent=with_parent, make_loop=make_loop)
    except DistconvError as error:
        if with_parent:
            tell_failed(error)
        else:
            click.echo(f"error: {error.message}", err=True)
        return EXIT_USAGE if isinstance(error, InvalidArgumentError) else EXIT_FAILED


def tell_ready(**fields: Any) -> None:
    """Print the line on stdout that whoever started this process may wait for: one JSON object."""
    click.echo(json.dumps({"event": "ready", **fields, "version": __version__}))


def tell_failed(error: DistconvError) -> None:
    """Print the line on stdout that tells the parent why this process ends: one JSON object."""
    with suppress(OSError):  # the parent may have gone
        click.echo(
            json.dumps({"event": "failed", "reason": error.reason, "message": error.message})
        )
