"""Do the same to several things: what fails is reported, and the others go on."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import click

from distconv.client.cli.connecting import open_client
from distconv.client.cli.exit_codes import ExitCode
from distconv.client.cli.failing import FailedInputsError, Failing, code_of, told
from distconv.client.cli.jsonable import jsonable, print_json
from distconv.client.cli.made import print_made
from distconv.client.cli.options import Common
from distconv.client.cli.running import run
from distconv.client.client import Client
from distconv.core.errors import DistconvError
from distconv.core.names import bare


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
    made_of_files: bool = False,
) -> int:
    """Do `action` to each name; print the ids, or with --json one document of all.

    `plural` and `done` are for people: "2 of 3 jobs could not be paused". The
    exit code is that of the first that failed. `note` is told of breaks. With
    `made_of_files` the names are files, and it is said which id is whose.
    """
    common = Common.current()
    several_files = made_of_files and len(names) > 1
    results, errors = run(_done(common, names, action, note or _warn, several_files=several_files))
    if common.as_json:
        for _, error in errors:
            Failing().report(error)
        # One document, whatever failed: a script must not lose what was done.
        print_json(
            {
                plural: [_entry(*one, made_of_files=made_of_files) for one in results],
                "errors": [
                    ({"input": name} if made_of_files else {"name": _full(name, plural)})
                    | told(error)
                    for name, error in errors
                ],
            }
        )
        return code_of(errors[0][1]) if errors else ExitCode.OK
    if len(names) == 1 and errors:
        raise errors[0][1]
    for _, error in errors:
        Failing().report(error)
    if errors:
        raise FailedInputsError(
            f"{len(errors)} of {len(names)} {plural} could not be {done}", code_of(errors[0][1])
        )
    return 0


async def _done(
    common: Common,
    names: Sequence[str],
    action: Callable[[Client, str], Awaitable[T]],
    note: Callable[[str], None],
    *,
    several_files: bool,
) -> tuple[list[tuple[str, T]], list[tuple[str, DistconvError]]]:
    results: list[tuple[str, T]] = []
    errors: list[tuple[str, DistconvError]] = []
    async with open_client(common, note=note) as client:
        for name in names:
            try:
                result = await action(client, name)
            except DistconvError as error:
                errors.append((name, error))
                continue
            results.append((name, result))
            if common.as_json:
                continue
            if several_files:
                print_made(result.id, name, note=note)
            else:
                print(result.id, flush=True)
    return results, errors


def _warn(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _entry(name: str, result: object, *, made_of_files: bool) -> dict[str, Any]:
    return {**({"input": name} if made_of_files else {}), **jsonable(result)}


def _full(name: str, plural: str) -> str:
    return f"{plural}/{bare(name, plural)}"


def can_ask() -> bool:
    """Tell whether somebody reads questions, which go to standard error, and can answer them."""
    return not Common.current().as_json and sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone, unless `yes` was said.

    Raises click.UsageError where nobody can be asked, click.exceptions.Exit for a no.
    """
    if yes:
        return
    if not can_ask():
        raise click.UsageError(f"{question} Say --yes: there is no terminal to ask on")
    if not click.confirm(question, err=True):
        click.echo("nothing was changed", err=True)
        raise click.exceptions.Exit(ExitCode.INTERRUPTED)
