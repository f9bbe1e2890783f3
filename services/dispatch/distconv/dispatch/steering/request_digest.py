"""Know a repeated request by the digest of what it asks for. Pure.

The digest is compared with one that another release may have made: two replicas
of different releases answer for one another while a fleet is upgraded. So only
the fields that are set count, in the order of their names: a field that is added
later, and left at its default, changes nothing. What does change digests (another
default, a field renamed) comes with another `_VERSION`, and must be told of.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from distconv.dispatch.steering.order import JobOrder

_VERSION = 1


def digest(order: JobOrder) -> str:
    """Return the SHA-256 of what an order asks for, its request id left out."""
    content = {"version": _VERSION, "order": _plain(dataclasses.replace(order, request_id=""))}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; of a dataclass the fields that are not as by default."""
    plain = value
    match value:
        case Enum():
            plain = value.value
        case datetime():
            plain = value.astimezone(UTC).isoformat()
        case timedelta():
            plain = value // timedelta(microseconds=1)
        case Mapping():
            plain = {str(key): _plain(item) for key, item in value.items()}
        case tuple():
            plain = [_plain(item) for item in value]
        case _ if dataclasses.is_dataclass(value):
            plain = {
                field.name: _plain(given)
                for field in dataclasses.fields(value)
                if (given := getattr(value, field.name)) != _default(field)
            }
    return plain


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
