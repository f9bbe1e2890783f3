"""The rows of one table that a unit of work knows, in three layers. Pure.

What is stored was read and is locked; what is kept was written by bodies that
ended well; what is drafted was written by the body that runs now.
"""

from collections.abc import Hashable, Iterator
from typing import Generic, NamedTuple, TypeVar

from distconv.core.errors import AlreadyExistsError

_K = TypeVar("_K", bound=Hashable)
_R = TypeVar("_R")


class Written(NamedTuple, Generic[_K, _R]):
    """A row to write: `old` is what is stored, None when that is not known or `is_new`.

    `new` is None when the row is to be removed.
    """

    key: _K
    old: _R | None
    new: _R | None
    is_new: bool


class Shelf(Generic[_K, _R]):
    """Know rows by their keys."""

    def __init__(self, name: str) -> None:
        """`name` is what messages call a row."""
        self._name = name
        self._stored: dict[_K, _R | None] = {}
        self._kept: dict[_K, _R | None] = {}
        self._draft: dict[_K, _R | None] = {}
        # Rows that are added here: they are inserted, not updated.
        self._kept_new: set[_K] = set()
        self._draft_new: set[_K] = set()

    def knows(self, key: _K) -> bool:
        """Tell whether `get` can answer."""
        return key in self._draft or key in self._kept or key in self._stored

    def get(self, key: _K) -> _R | None:
        """Return a row as the body that runs sees it; None when there is none or it is unknown."""
        if key in self._draft:
            return self._draft[key]
        if key in self._kept:
            return self._kept[key]
        return self._stored.get(key)

    def take(self, key: _K, row: _R | None) -> None:
        """Take what was read of the database; what is known already stays."""
        self._stored.setdefault(key, row)

    def add(self, key: _K, row: _R) -> None:
        """Insert a row. Raises AlreadyExistsError when one is known already."""
        if self.get(key) is not None:
            raise AlreadyExistsError(f"a {self._name} of the id {key} stands already")
        if key not in self._stored and key not in self._kept:
            self._draft_new.add(key)
        self._draft[key] = row

    def put(self, key: _K, row: _R | None) -> None:
        """Replace a row; None removes it."""
        self._draft[key] = row

    def keep(self) -> None:
        """Keep what is drafted."""
        self._kept.update(self._draft)
        self._kept_new |= self._draft_new
        self.drop()

    def drop(self) -> None:
        """Forget what is drafted."""
        if self._draft:
            self._draft = {}
            self._draft_new = set()

    def rows(self) -> Iterator[_R]:
        """Yield every row that is known, as the body that runs sees it."""
        for key in {**self._stored, **self._kept, **self._draft}:
            row = self.get(key)
            if row is not None:
                yield row

    def written(self) -> list[Written[_K, _R]]:
        """Return what is kept and differs from what is stored, by key."""
        found = []
        for key in sorted(self._kept):  # type: ignore[type-var]  # keys are text, or tuples of it
            new = self._kept[key]
            old = self._stored.get(key)
            is_new = key in self._kept_new or (key in self._stored and old is None)
            unchanged = key in self._stored and new is old
            if unchanged or (is_new and new is None):
                continue
            found.append(Written(key, old, new, is_new))
        return found
