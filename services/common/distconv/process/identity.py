"""Who a process is: an id that it makes for itself once and keeps in its data folder."""

import os
from pathlib import Path

from distconv.core.clock import Clock
from distconv.core.errors import FailedPreconditionError
from distconv.core.ids import new_id
from distconv.core.names import is_id


def load_or_make_id(folder: Path, kind: str, clock: Clock) -> str:
    """Return the id of the `kind` ("engine", say) that lives in `folder`.

    It is made, and the folder with it, at the first start. Raises
    FailedPreconditionError when what stands there is no id, or the folder
    cannot be written.
    """
    path = folder / f"{kind}-id"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return _checked(path, kind)
        text = new_id(clock.now())
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(text + "\n", encoding="ascii")
        temporary.replace(path)
    except OSError as error:
        raise FailedPreconditionError(
            f"cannot keep the identity of this {kind} in {folder}: {error.strerror}; "
            "choose another folder with --data-dir"
        ) from error
    return text


def _checked(path: Path, kind: str) -> str:
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if not is_id(text):
        raise FailedPreconditionError(
            f"{path} holds no id of this {kind}; delete it to make a new identity"
        )
    return text
