"""The contract's enumerations by their names."""

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from distconv.core.errors import InternalError

_E = TypeVar("_E", bound=StrEnum)
_N = TypeVar("_N", bound=int)


def by_name(name_of: Callable[[_N], str], number: _N, kind: type[_E], prefix: str) -> _E:
    """Return the member of `kind` whose value is the number's name without `prefix`.

    `name_of` is the `Name` of the contract's enumeration. Raises InternalError for a
    number that this version does not know.
    """
    try:
        return kind(name_of(number).removeprefix(prefix))
    except ValueError as error:
        raise InternalError(
            f"the server sent {prefix.lower()}{number}, which this version does not know; "
            "update this client"
        ) from error
