"""Which replica this process is: an id made once and kept in its data folder."""

import os
from pathlib import Path

from distconv.core.clock import Clock
from distconv.core.errors import FailedPreconditionError
from distconv.core.ids import new_id
from distconv.core.names import is_id


def load_or_make_replica_id(folder: Path, clock: Clock) -> str:
    """Return the id in `folder`, made when there is none.

    Raises FailedPreconditionError when what stands there is no id, or cannot be
    read or written.
    """
    path = folder / "replica-id"
    try:
        if path.exists():
            return _checked(path)
        text = new_id(clock.now())
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(text + "\n", encoding="ascii")
        temporary.replace(path)
    except OSError as error:
        raise FailedPreconditionError(
            f"cannot keep this replica's identity in {folder}: {error.strerror}; "
            "choose another folder with --data-dir"
        ) from error
    return text


def _checked(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if not is_id(text):
        raise FailedPreconditionError(
            f"{path} does not hold a replica's id; delete it to make a new one"
        )
    return text
