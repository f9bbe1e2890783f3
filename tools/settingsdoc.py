"""Write docs/settings.md: every setting of every process, from the models that read them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import click
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from distconv.dispatch import main as dispatch_main
from distconv.dispatch.settings import TABLE as DISPATCH_TABLE
from distconv.dispatch.settings import DispatchSettings
from distconv.engine import main as engine_main
from distconv.engine.settings import TABLE as ENGINE_TABLE
from distconv.engine.settings import EngineSettings
from distconv.process.settings import ProcessSettings
from distconv.storage import main as storage_main
from distconv.storage.settings import TABLE as STORAGE_TABLE
from distconv.storage.settings import StorageSettings

TEMPLATE = Path(__file__).with_name("templates") / "settings.md"
_MARK = "{{ settings }}"
# Defaults that depend on the machine, or stand for a search: described, never evaluated here.
DESCRIBED = {
    ("dispatch", "data_dir"): "the user's data folder, on Linux `~/.local/share/distconv`",
    ("dispatch", "media_key_file"): "`media.key` in `data_dir`",
    ("dispatch", "database_password_file"): "none",
    ("dispatch", "nats_credentials_file"): "none",
    ("dispatch", "tls_cert"): "none",
    ("dispatch", "tls_key"): "none",
    ("dispatch", "tls_ca"): "none",
    ("storage", "tls_cert"): "none",
    ("storage", "tls_key"): "none",
    ("engine", "tls_ca"): "none",
    ("storage", "data_dir"): "the user's data folder, on Linux `~/.local/share/distconv`",
    ("storage", "media_key_file"): "`media.key` in `data_dir`",
    ("dispatch", "output_retention_s"): "for ever",
    ("storage", "tenant_quota_bytes"): "without bound",
    ("storage", "ffmpeg"): "the one on `PATH`, else the bundled one",
    ("engine", "data_dir"): "`engine` in the user's data folder",
    ("engine", "display_name"): "the host's name",
    ("engine", "slots"): "one per eight processors, at least 1",
    ("engine", "scratch_dir"): "`scratch` in `data_dir`",
    ("engine", "scratch_quota_bytes"): "80 % of what the disk has free at the start",
    ("engine", "ffmpeg"): "the one on `PATH`, else the bundled one",
}
# What a description repeats of the columns beside it: the default, the unit, the range.
_DEFAULT_AGAIN = re.compile(r"[.,;:]\s+(default|unset)\b.*$", re.IGNORECASE)
_RANGE_AGAIN = re.compile(r",( s,)? [\d.]+\.\.[\d.]*\d")
_UNIT_AGAIN = re.compile(r", (seconds|bytes|s)$")
_SIZES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process with settings: its command, its model, its table in the file."""

    command: str
    table: str
    model: type[ProcessSettings]
    click_command: click.Command


PROCESSES: Sequence[Process] = (
    Process(
        command="distconv-dispatch",
        table=DISPATCH_TABLE,
        model=DispatchSettings,
        click_command=dispatch_main.main,
    ),
    Process(
        command="distconv-storage",
        table=STORAGE_TABLE,
        model=StorageSettings,
        click_command=storage_main.main,
    ),
    Process(
        command="distconv-engine",
        table=ENGINE_TABLE,
        model=EngineSettings,
        click_command=engine_main.main,
    ),
)


def settings() -> str:
    """Return the page: the hand-written template with a table per process in its place."""
    template = TEMPLATE.read_text(encoding="utf-8")
    if template.count(_MARK) != 1:
        raise ValueError(f"{TEMPLATE} holds the mark '{_MARK}' once")
    lines = [line for process in PROCESSES for line in _process(process)]
    return template.replace(_MARK, "\n".join(lines).rstrip())


def _process(process: Process) -> Iterator[str]:
    yield f"## {process.command}"
    yield ""
    yield f"Table `[{process.table}]`, variables `DISTCONV_{process.table.upper()}_…`."
    yield ""
    yield "| setting | flag | environment variable | unit | allowed | default | meaning |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, field in process.model.model_fields.items():
        cells = (
            f"`{name}`",
            _flag(process.click_command, name),
            _variable(process, name, field),
            _unit(name),
            allowed(field),
            _default(process.table, name, field),
            _meaning(field),
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _flag(command: click.Command, name: str) -> str:
    flags = [f"`{opt}`" for p in command.params if p.name == name for opt in p.opts]
    return " ".join(flags) or "—"


def _variable(process: Process, name: str, field: FieldInfo) -> str:
    if get_origin(field.annotation) is tuple and not _takes_text(field):
        return "— (a list)"
    return f"`DISTCONV_{process.table.upper()}_{name.upper()}`"


def _takes_text(field: FieldInfo) -> bool:
    """Tell whether a list may be given as text (`TextList`), as the environment does."""
    return any(isinstance(rule, BeforeValidator) for rule in field.metadata)


def _unit(name: str) -> str:
    if name.endswith("_s"):
        return "s"
    return "bytes" if name.endswith("_bytes") else ""


def allowed(field: FieldInfo) -> str:
    """Return what a setting may be, from the constraints of its model."""
    if field.annotation is bool:
        return "true, false"
    if values := _literals(field):
        return ", ".join(values)
    found = {
        name: getattr(rule, name)
        for rule in field.metadata
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length", "pattern")
        if getattr(rule, name, None) is not None
    }
    if "pattern" in found:
        pattern = str(found["pattern"]).strip("^$")
        # A form that nobody reads is left to the meaning.
        return "" if "(?:" in pattern else ", ".join(pattern.strip("()").split("|"))
    if "min_length" in found or "max_length" in found:
        unit = "characters" if field.annotation is str else "of them"
        return f"{_span(found.get('min_length'), found.get('max_length'))} {unit}"
    if "gt" in found:
        return f"more than {_number(found['gt'])}"
    return _span(found.get("ge"), found.get("le"))


def _literals(field: FieldInfo) -> list[str]:
    return [str(v) for v in get_args(field.annotation) if isinstance(v, str)]


def _span(low: Any, high: Any) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f"{_number(low)} or more"
    return f"{_number(low if low is not None else 0)} to {_number(high)}"


def _number(value: Any) -> str:
    return f"{value:,}".removesuffix(".0")


def _default(table: str, name: str, field: FieldInfo) -> str:
    if (text := DESCRIBED.get((table, name))) is not None:
        return text
    if field.default_factory is not None or field.default is None:
        raise ValueError(f"describe the default of {table}.{name} in {Path(__file__).name}")
    value = field.default
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(f"`{v}`" for v in value) or "none"
    if isinstance(value, int | float):
        size = _size(value) if name.endswith("_bytes") else ""
        return f"{_number(value)}{size}"
    return f"`{value}`"


def _size(value: float) -> str:
    for unit, word in _SIZES:
        if value >= unit and value % unit == 0:
            return f" ({value // unit:g} {word})"
    return ""


def _meaning(field: FieldInfo) -> str:
    text = _DEFAULT_AGAIN.sub("", " ".join((field.description or "").split()))
    text = _UNIT_AGAIN.sub("", _RANGE_AGAIN.sub("", text))
    if text.startswith("s "):
        text = f"Seconds{text[1:]}"
    return text if text.startswith("ffmpeg") else text[:1].upper() + text[1:]
