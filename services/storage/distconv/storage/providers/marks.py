"""See that the places of all pools belong together before any of them is used.

    storage-id        one line: the id of the storage, then names of pools

At a pool's place it names that pool, at the main one every pool that was ever
used beside it. Records lie in the main pool and their bytes in others: with one
disk not mounted, or another bucket named, the rest looks left over, and would be
put in order by deletion.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from distconv.core.errors import FailedPreconditionError
from distconv.storage.names import MAIN_POOL

FILE = "storage-id"
_ID_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a `storage-id` says; no id when there is none."""

    storage_id: str = ""
    pools: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """Return it as it is written down."""
        return " ".join((self.storage_id, *self.pools))


def parse_mark(line: bytes, mark_at: str) -> Mark:
    """Return what a line says. Raises FailedPreconditionError; `mark_at` is where it was found."""
    words = line.decode(errors="replace").split() if line.isascii() else []
    if len(words) < 2:  # an id and a pool
        raise FailedPreconditionError(
            f"{mark_at} is damaged; restore it from a backup, or copy the id from the {FILE} of "
            "another pool: it is one line, the id and the name of the pool"
        )
    return Mark(storage_id=words[0], pools=tuple(words[1:]))


class Site(Protocol):
    """The place of one pool, which may not be started yet; all raise what its provider does."""

    where: str
    """How messages call it."""
    mark_at: str
    """Where its mark lies."""
    remedy: str
    """What to see to when it is not the one that was meant."""

    async def read(self) -> Mark:
        """Return its mark. Raises FailedPreconditionError when that is damaged."""
        ...

    async def begin(self, mark: Mark) -> None:
        """Mark a place that has no mark; where another process was quicker, its mark stays."""
        ...

    async def add(self, names: Sequence[str]) -> None:
        """Name further pools in the mark of the main place."""
        ...

    async def holds_anything(self) -> bool:
        """Tell whether anything is stored there."""
        ...


class Marks:
    """The places of a storage: `check` before they are started, `mark` once they are.

    Nothing is written when everything is marked already.
    """

    def __init__(self, main: Site, pools: Mapping[str, Site]) -> None:
        self._main = main
        self._pools = pools

    async def check(self) -> None:
        """Raise FailedPreconditionError when a place is missing, or is another's."""
        main, marks = await self._read()
        if main.storage_id:
            self._check_main(main)
            for name, mark in marks.items():
                await self._check_pool(main, name, mark)
        else:
            await self._require_new(marks)

    async def _read(self) -> tuple[Mark, Mapping[str, Mark]]:
        """Return the mark of the main place and those of the pools, as they were at one time."""
        while True:
            main = await self._main.read()
            marks = {name: await site.read() for name, site in self._pools.items()}
            # Another process may be marking them: the main one first, then each, then their names.
            if await self._main.read() == main:
                return main, marks

    async def left_out(self) -> Sequence[str]:
        """Return the pools that were used beside the main one, and are not known any more."""
        main = await self._main.read()
        return [name for name in main.pools if name not in (MAIN_POOL, *self._pools)]

    async def mark(self) -> None:
        """Write down that the places belong together. Raises what `check` does."""
        if not self._pools:
            return
        await self.check()
        main = await self._main.read()
        # Its id first: a pool that has one the main place lacks could never be told apart.
        if not main.storage_id:
            await self._main.begin(
                Mark(storage_id=secrets.token_hex(_ID_BYTES), pools=(MAIN_POOL,))
            )
            main = await self._main.read()
        for name, site in self._pools.items():
            if not (await site.read()).storage_id:
                await site.begin(Mark(storage_id=main.storage_id, pools=(name,)))
        if added := [name for name in self._pools if name not in main.pools]:
            await self._main.add(added)
            await self.check()  # another storage may have taken the place of one at the same time

    async def _require_new(self, marks: Mapping[str, Mark]) -> None:
        """Take places that nobody marked yet: new ones, or those of an earlier version."""
        for name, mark in marks.items():
            if mark.storage_id:
                line = Mark(storage_id=mark.storage_id, pools=(MAIN_POOL,)).line
                raise FailedPreconditionError(
                    f"the main storage place {self._main.where} has no {FILE}, but the pool "
                    f"'{name}' at {self._pools[name].where} is of storage {mark.storage_id}; "
                    f"{self._main.remedy}, then start storage again. If it is the right one and "
                    f"its {FILE} was lost, write '{line}' to {self._main.mark_at}"
                )
        for name, site in self._pools.items():
            if await site.holds_anything() and not await self._main.holds_anything():
                raise FailedPreconditionError(
                    f"the main storage place {self._main.where} is empty, but the pool '{name}' at "
                    f"{site.where} holds objects, whose records belong in the main one; "
                    f"{self._main.remedy}, then start storage again. To begin anew, give the pool "
                    "an empty place"
                )

    def _check_main(self, main: Mark) -> None:
        if main.pools[0] != MAIN_POOL:
            raise FailedPreconditionError(
                f"{self._main.where}, set as the main storage place, is the pool "
                f"'{main.pools[0]}' of storage {main.storage_id}; {self._main.remedy}, then start "
                "storage again"
            )

    async def _check_pool(self, main: Mark, name: str, mark: Mark) -> None:
        site = self._pools[name]
        due = Mark(storage_id=main.storage_id, pools=(name,))
        if mark.storage_id:
            if mark != due:
                raise FailedPreconditionError(
                    f"{site.where}, set as the storage pool '{name}', is the pool "
                    f"'{' '.join(mark.pools)}' of storage {mark.storage_id}, and "
                    f"{self._main.where} is of storage {main.storage_id}; {site.remedy}, then "
                    "start storage again"
                )
        elif name in main.pools:
            raise FailedPreconditionError(
                f"the storage pool '{name}' is not at {site.where}: there is no {FILE}; "
                f"{site.remedy}, then start storage again. If the pool is lost, or was moved "
                f"without that, write '{due.line}' to {site.mark_at}"
            )
        elif await site.holds_anything():
            raise FailedPreconditionError(
                f"{site.where}, set as the new storage pool '{name}', holds objects already, and "
                f"has no {FILE} that says whose; give the pool an empty place, or, if the objects "
                f"are of the storage at {self._main.where}, write '{due.line}' to {site.mark_at}"
            )
