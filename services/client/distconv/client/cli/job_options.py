"""Options of the commands that create jobs."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from distconv.core.transfer import TransferMode

F = TypeVar("F", bound=Callable[..., Any])

CONTAINERS = ("mp4", "mkv", "webm")  # distconv.core.profile.Container, without importing it
TRANSFERS = tuple(mode.value.lower() for mode in TransferMode)
PROGRESS = ("auto", "bars", "lines", "json", "none")


def job_options(command: F) -> F:
    """Give a command the options that say what job to create."""
    for option in (
        click.option(
            "--label", "labels", metavar="KEY=VALUE", multiple=True, callback=read_labels,
            help="A label of your own; repeatable.",
        ),
        click.option(
            "--transfer", type=click.Choice(TRANSFERS), callback=_read_transfer,
            help="How media goes to the engine: through pipes, or as files on its disk, where the "
            "encode begins once all of it is there.  [default: as the server is set]",
        ),
        click.option(
            "--priority", type=click.IntRange(-100, 100), default=0, show_default=True,
            help="Higher goes first.",
        ),
        click.option(
            "--container", type=click.Choice(CONTAINERS), help="The container.",
        ),
        click.option(
            "--profile", "-p", required=True, metavar="NAME|FILE.toml[:NAME]",
            help="What to make of it; 'dcctl profiles list' shows what there is.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def _read_transfer(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> TransferMode | None:
    return None if value is None else TransferMode(value.upper())


def progress_option(command: F) -> F:
    """Give a command `--progress`."""
    return click.option(
        "--progress", type=click.Choice(PROGRESS), default="auto", show_default=True,
        help="How to show progress, on stderr: auto is bars on a terminal, else lines, and none "
        "with --json; json is one object a line. Who reads too slowly misses steps, not the end.",
    )(command)  # fmt: skip


def read_labels(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Read `KEY=VALUE`, any number of times: the callback of an option."""
    labels = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"'{value}' is not KEY=VALUE", context, parameter)
        labels[key] = text
    return labels
