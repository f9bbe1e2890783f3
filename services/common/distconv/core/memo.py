"""Remember what was made of a value, found by the value's identity."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

_R = TypeVar("_R")


class ByIdentity(Generic[_R]):
    """Call a pure function of immutable values once for the same objects.

    For values that are costly to compare or cannot be hashed and are met again and again: a
    profile of the catalogue, the probe of a source that many renditions are made of. What it
    returns is shared: not to be changed.
    """

    def __init__(self, function: Callable[..., _R], *, size: int = 256) -> None:
        """Remember the last `size` results."""
        self._function = function
        self._size = size
        self._kept: dict[tuple[int, ...], tuple[tuple[Any, ...], _R]] = {}

    def __call__(self, *values: Any) -> _R:
        """Return what the function returns; what it raises is not remembered."""
        key = tuple(map(id, values))
        kept = self._kept.get(key)
        if kept is not None:
            return kept[1]
        result = self._function(*values)
        if len(self._kept) >= self._size:
            del self._kept[next(iter(self._kept))]
        # The values are kept too: an id is theirs for as long as they live.
        self._kept[key] = (values, result)
        return result
