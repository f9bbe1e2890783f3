"""Tell whether the database that is to be opened is sound, and if it is not, the way back."""

import shlex
from datetime import UTC, datetime
from pathlib import Path

from distconv.core.errors import DataLossError
from distconv.dispatch.store import backup, sqlite


def check(path: Path, *, new: bool = False) -> None:
    """Check a database before it is used.

    One that is missing is sound where there never was one. With `new` a missing
    one is meant to be made, and what was left of an earlier one is moved aside.
    Raises DataLossError when it is damaged, is no database, or is missing though
    there are traces of it; UnavailableError when another program holds it or it
    cannot be read. Changes nothing else.
    """
    if path.exists():
        problem = "it is empty" if path.stat().st_size == 0 else sqlite.damage(path)
        if problem is not None:
            raise _lost(path, f"the database {path} is damaged ({problem}); it is left as it is")
        return
    if new:
        backup.move_aside(path, now=datetime.now(UTC), why="lost")
        return
    traces = [*backup.leftovers(path), *backup.backups_of(path)]
    if traces:
        raise _lost(
            path,
            f"the database {path} is missing, but there was one: {traces[0]} is there; "
            "put it back where it was",
            or_else=", or start with --new for an empty one",
        )


def _lost(path: Path, what: str, *, or_else: str = "") -> DataLossError:
    newest = backup.newest_good(path)
    if newest is None:
        way = f"there is no sound backup in {backup.folder_of(path)}; if you have one elsewhere, "
        source = "FILE"
    else:
        way = f"the newest sound backup is {newest}; "
        source = shlex.quote(str(newest))
    command = f"distconv-dispatch restore --data-dir {shlex.quote(str(path.parent))} {source}"
    return DataLossError(
        f"{what}. {way[0].upper()}{way[1:]}restore it with '{command}', which moves aside what it "
        f"replaces{or_else}, or start with another --data-dir",
        metadata={"path": str(path), **({"backup": str(newest)} if newest else {})},
    )
