"""Do the same to several things: what fails is reported, and the others go on."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import click

from distconv.client.cli.connecting import open_client
from distconv.client.cli.exit_codes import ExitCode
from distconv.client.cli.failing import FailedInputsError, Failing, code_of
from distconv.client.cli.jsonable import print_json
from distconv.client.cli.options import Common
from distconv.client.cli.running import run
from distconv.client.client import Client
from distconv.core.errors import DistconvError


class _Named(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=_Named)


def do_each(
    names: Sequence[str],
    action: Callable[[Client, str], Awaitable[T]],
    *,
    plural: str,
    done: str,
    note: Callable[[str], None] | None = None,
) -> int:
    """Do `action` to each name; print the ids, or with --json one document of all.

    `plural` and `done` are for people: "2 of 3 jobs could not be paused". The
    exit code is that of the first that failed. `note` is told of breaks.
    """
    common = Common.current()
    results, errors = run(_done(common, names, action, note))
    if common.as_json:
        print_json({plural: results})
    if len(names) == 1 and errors:
        raise errors[0]
    for error in errors:
        Failing().report(error)
    if errors:
        raise FailedInputsError(
            f"{len(errors)} of {len(names)} {plural} could not be {done}", code_of(errors[0])
        )
    return 0


async def _done(
    common: Common,
    names: Sequence[str],
    action: Callable[[Client, str], Awaitable[T]],
    note: Callable[[str], None] | None,
) -> tuple[list[T], list[DistconvError]]:
    results: list[T] = []
    errors: list[DistconvError] = []
    async with open_client(common, note=note) as client:
        for name in names:
            try:
                results.append(await action(client, name))
            except DistconvError as error:
                errors.append(error)
                continue
            if not common.as_json:
                print(results[-1].id, flush=True)
    return results, errors


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone, unless `yes` was said.

    Raises click.UsageError where nobody can be asked, click.exceptions.Exit for a no.
    """
    if yes:
        return
    if Common.current().as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"{question} Say --yes: there is no terminal to ask on")
    if not click.confirm(question, err=True):
        click.echo("nothing was changed", err=True)
        raise click.exceptions.Exit(ExitCode.INTERRUPTED)
