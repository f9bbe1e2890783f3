"""Settings: defaults ← TOML file ← environment ← flags, typed, and shown with their sources."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import platformdirs
from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from distconv.core.errors import InvalidArgumentError

# An address in brackets, [::1]:7400, has no quotes.
_AS_IN_TOML = re.compile(r"""\s*\[\s*["'\]]""")


def _split(value: Any) -> Any:
    if isinstance(value, str) and _AS_IN_TOML.match(value):
        raise ValueError(
            "a list is written here without brackets and quotes, its items separated by commas"
        )
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


# The password in a URL: what is between the user and the host is never shown.
_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^/\s]*@")
# A list of texts. The environment has no lists: commas separate them there.
TextList = Annotated[tuple[str, ...], BeforeValidator(_split)]
LogLevel = Literal["debug", "info", "warning", "error"]


class ProcessSettings(BaseSettings):
    """The settings of one process; `load` makes them.

    One TOML file may serve several processes of a machine: each has a table in it.
    """

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    log_level: LogLevel = Field(default="info", description="least severity to log")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments alone: `load` merges the sources itself, to know where each came from."""
        return (init_settings,)


S = TypeVar("S", bound=ProcessSettings)


def default_data_dir() -> Path:
    """Return where distconv keeps its data unless told otherwise."""
    return Path(platformdirs.user_data_dir("distconv"))


def load(
    model: type[S], *, table: str, flags: Mapping[str, Any], config_file: Path | None
) -> tuple[S, dict[str, str]]:
    """Return the settings and the source of each.

    `flags` with the value None were not given. Environment variables are
    `DISTCONV_<TABLE>_<FIELD>`. Raises InvalidArgumentError naming the setting,
    its source and what is wrong.
    """
    merged: dict[str, Any] = {}
    sources = dict.fromkeys(model.model_fields, "default")
    for source, values in (
        (f"file {config_file}", _from_file(config_file, table)),
        ("environment", _from_environment(model, table)),
        ("flag", {k: v for k, v in flags.items() if v is not None}),
    ):
        for key, value in values.items():
            merged[key] = value
            sources[key] = source
    try:
        return model(**merged), sources
    except ValidationError as error:
        raise InvalidArgumentError(_sentence(error, sources)) from error


def show(settings: ProcessSettings, sources: Mapping[str, str]) -> str:
    """Return one line per setting: its name, value, source and meaning."""
    lines = []
    for name, field in type(settings).model_fields.items():
        value = _PASSWORD.sub(r"\1…@", str(getattr(settings, name)))
        lines.append(f"{name} = {value:<40} # {sources[name]}; {field.description or ''}")
    return "\n".join(lines)


def _from_file(path: Path | None, table: str) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgumentError(f"cannot read the settings {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"the settings {path} are not TOML: {error}") from error
    found = content.get(table, {})
    if not isinstance(found, dict):
        raise InvalidArgumentError(f"'{table}' in {path} is not a table")
    return found


def _from_environment(model: type[ProcessSettings], table: str) -> dict[str, str]:
    prefix = f"DISTCONV_{table.upper()}_"
    return {
        name: os.environ[prefix + name.upper()]
        for name in model.model_fields
        if prefix + name.upper() in os.environ
    }


def _sentence(error: ValidationError, sources: Mapping[str, str]) -> str:
    parts = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        # What a check of ours raised is a sentence already, and may be of several settings.
        said = str(problem.get("ctx", {}).get("error", problem["msg"]))
        parts.append(
            f"setting '{name}' ({sources.get(name, 'unknown')}): {said}"
            if name
            else f"settings: {said}"
        )
    return "; ".join(parts)
