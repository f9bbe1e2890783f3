"""Values of the SDK as JSON: the names of the fields, spans in seconds with `_s`."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any


def jsonable(value: object) -> Any:
    """Return `value` as what `json.dumps` takes.

    Dataclasses become objects with the same names; a timedelta becomes seconds
    under its name with `_s`; times are ISO 8601.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dict(_entry(f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [jsonable(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


def _entry(name: str, value: object) -> tuple[str, Any]:
    if isinstance(value, timedelta):
        return f"{name}_s", value.total_seconds()
    return name, jsonable(value)


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print `value` as one JSON document on stdout; `indent` None keeps it on one line."""
    print(json.dumps(jsonable(value), indent=indent, ensure_ascii=False), flush=True)
