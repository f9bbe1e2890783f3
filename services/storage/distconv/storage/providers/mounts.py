"""See that the folders of all pools belong together before any of them is used.

    ROOT/storage-id        one line: the id of the storage, then names of pools

In a pool's folder it names that pool, in the main one every pool that was ever
used beside it. Records lie in the main pool and their bytes in others: with one
disk not mounted the rest looks left over, and would be put in order by deletion.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from distconv.core.errors import FailedPreconditionError
from distconv.storage.names import MAIN_POOL
from distconv.storage.providers import local_files as files
from distconv.storage.providers.disk_errors import disk_errors

FILE = "storage-id"
_ID_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """What a `storage-id` says; no id when there is no such file."""

    storage_id: str = ""
    pools: tuple[str, ...] = ()


class Mounts:
    """The folders of a storage: `check` before they are started, `mark` once they are locked.

    All of it blocks, and writes nothing when everything is marked already.
    """

    def __init__(self, main: Path, pools: Mapping[str, Path]) -> None:
        self._main = main.absolute()
        self._pools = {name: folder.absolute() for name, folder in pools.items()}

    def check(self) -> None:
        """Raise FailedPreconditionError when a folder is missing, or is another's."""
        if not self._pools:
            return
        with disk_errors(FILE):
            main = _read(self._main)
            if not main.storage_id:
                self._require_new()
                return
            for name, folder in self._pools.items():
                self._check_pool(main, name, folder)

    def mark(self) -> None:
        """Write down that the folders belong together. Raises what `check` does, and the disk's."""
        if not self._pools:
            return
        self.check()
        with disk_errors(FILE):
            main = _read(self._main)
            # Its id first: a pool that has one the main folder lacks could never be told apart.
            if not main.storage_id:
                main = _Mark(storage_id=secrets.token_hex(_ID_BYTES), pools=(MAIN_POOL,))
                _write(self._main, main)
            for name, folder in self._pools.items():
                if not _read(folder).storage_id:
                    _write(folder, _Mark(storage_id=main.storage_id, pools=(name,)))
            added = tuple(name for name in self._pools if name not in main.pools)
            if added:
                _write(self._main, _Mark(storage_id=main.storage_id, pools=(*main.pools, *added)))

    def _require_new(self) -> None:
        """Take folders that nobody marked yet: new ones, or those of an earlier version."""
        for name, folder in self._pools.items():
            mark = _read(folder)
            if mark.storage_id:
                raise FailedPreconditionError(
                    f"the main storage folder {self._main} has no {FILE}, but the pool '{name}' "
                    f"in {folder} is of storage {mark.storage_id}; see that the disk of the main "
                    "folder is mounted, then start storage again. If the folder is the right one "
                    f"and the file was lost, write '{mark.storage_id} {MAIN_POOL}' to "
                    f"{self._main / FILE}"
                )
        full = [name for name, folder in self._pools.items() if _holds_anything(folder)]
        if full and not _holds_anything(self._main):
            raise FailedPreconditionError(
                f"the main storage folder {self._main} is empty, but the pool '{full[0]}' in "
                f"{self._pools[full[0]]} holds objects, whose records belong in the main folder; "
                "see that its disk is mounted, then start storage again. To begin anew, give the "
                "pool an empty folder"
            )

    def _check_pool(self, main: _Mark, name: str, folder: Path) -> None:
        mark = _read(folder)
        line = f"{main.storage_id} {name}"
        if mark.storage_id:
            if (mark.storage_id, mark.pools) != (main.storage_id, (name,)):
                raise FailedPreconditionError(
                    f"{folder}, set as the storage pool '{name}', is the pool "
                    f"'{' '.join(mark.pools)}' of storage {mark.storage_id}, and "
                    f"{self._main} is of storage {main.storage_id}; see that each disk is mounted "
                    "where the setting pools says, then start storage again"
                )
        elif name in main.pools:
            raise FailedPreconditionError(
                f"the storage pool '{name}' is not in {folder}: there is no {FILE}; see that its "
                "disk is mounted, then start storage again. If the pool is lost, or was moved "
                f"without that file, write '{line}' to {folder / FILE}"
            )
        elif _holds_anything(folder):
            raise FailedPreconditionError(
                f"{folder}, set as the new storage pool '{name}', holds objects already, and has "
                f"no {FILE} that says whose; give the pool an empty folder, or, if the objects "
                f"are of the storage in {self._main}, write '{line}' to {folder / FILE}"
            )


def _read(folder: Path) -> _Mark:
    path = folder / FILE
    try:
        words = path.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return _Mark()
    except UnicodeDecodeError:
        words = []
    if len(words) < 2:  # an id and a pool
        raise FailedPreconditionError(
            f"{path} is damaged; restore it from a backup, or copy the id from the {FILE} of "
            "another pool: it is one line, the id and the name of the pool"
        )
    return _Mark(storage_id=words[0], pools=tuple(words[1:]))


def _write(folder: Path, mark: _Mark) -> None:
    line = " ".join((mark.storage_id, *mark.pools)) + "\n"
    files.write_whole(folder / "scratch", folder / FILE, line.encode())


def _holds_anything(folder: Path) -> bool:
    return any(_files(folder / "objects")) or any(_files(folder / "staging"))


def _files(folder: Path) -> Iterator[str]:
    for _, _, names in os.walk(folder):
        yield from names
