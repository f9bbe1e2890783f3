"""The options that every command takes, before or after its name."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import click

from distconv.core.errors import InvalidArgumentError


class OutputPath(click.Path):
    """Where a file is to be written. A name that ends as a folder's does has to be one."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path. Raises InvalidArgumentError (field `output`)."""
        if value == "-":
            raise InvalidArgumentError(
                "nothing is written to stdout; name a file with --output, './-' for one that is "
                "called '-'",
                field="output",
            )
        if isinstance(value, str) and value.endswith(os.sep) and not Path(value).is_dir():
            raise InvalidArgumentError(
                f"the output's folder '{value}' does not exist; make it first", field="output"
            )
        return super().convert(value, param, ctx)


F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_SERVER = "127.0.0.1:7400"
SERVER_VARIABLE = "DISTCONV_SERVER"
TENANT_VARIABLE = "DISTCONV_TENANT"
TLS_CA_VARIABLE = "DISTCONV_TLS_CA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What was said in options common to all commands."""

    server: str | None
    tenant: str
    tls_ca: Path | None
    as_json: bool
    debug: bool

    @classmethod
    def current(cls) -> Self:
        """Return what was said to the command that is running."""
        said = _said(click.get_current_context())
        tls_ca = said.get("tls_ca") or os.environ.get(TLS_CA_VARIABLE)
        return cls(
            server=said.get("server"),
            tenant=said.get("tenant") or os.environ.get(TENANT_VARIABLE) or "",
            tls_ca=Path(tls_ca) if tls_ca else None,
            as_json=bool(said.get("json")),
            debug=bool(said.get("debug")),
        )

    @property
    def named_server(self) -> str | None:
        """Return the server, or servers, that a flag or the environment names, if any does."""
        return self.server or os.environ.get(SERVER_VARIABLE) or None

    @property
    def address(self) -> str:
        """Return the server to talk to."""
        return self.named_server or DEFAULT_SERVER


def _said(context: click.Context) -> dict[str, Any]:
    root = context.find_root()
    if root.obj is None:
        root.obj = {}
    said: dict[str, Any] = root.obj
    return said


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    # Said nearer to the command wins; not said must not hide what was.
    if value and parameter.name is not None:
        _said(context)[parameter.name] = value
    return value


def common_options(command: F) -> F:
    """Give a command or group `--server`, `--tenant`, `--tls-ca`, `--json` and `--debug`."""
    for option in (
        click.option(
            "--debug",
            is_flag=True,
            expose_value=False,
            callback=_keep,
            help="Show a traceback for a fault of dcctl itself, and gRPC's own log lines.",
        ),
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=_keep,
            help="Print JSON on stdout; errors too.",
        ),
        click.option(
            "--tls-ca",
            metavar="FILE",
            expose_value=False,
            callback=_keep,
            help="Certificates, PEM, that the server's is signed by; without it nothing is "
            f"encrypted.  [default: ${TLS_CA_VARIABLE}]",
        ),
        click.option(
            "--tenant",
            metavar="NAME",
            expose_value=False,
            callback=_keep,
            help=f"The tenant to act for.  [default: ${TENANT_VARIABLE}, else your own]",
        ),
        click.option(
            "--server",
            metavar="HOST:PORT[,…]",
            expose_value=False,
            callback=_keep,
            help="The server, or several replicas separated by commas.  "
            f"[default: ${SERVER_VARIABLE}, else {DEFAULT_SERVER}]",
        ),
    ):
        command = option(command)
    return command
