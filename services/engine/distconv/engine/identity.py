"""Who this engine is: an id that it makes for itself once and keeps."""

import os
from pathlib import Path

from distconv.core.clock import Clock
from distconv.core.errors import FailedPreconditionError, InvalidArgumentError
from distconv.core.ids import ID_LENGTH, new_id, parse_id_prefix


def load_or_make_identity(folder: Path, clock: Clock) -> str:
    """Return the engine's id, made and kept in `folder` at the first start.

    Raises FailedPreconditionError when what stands there is no id, or the
    folder cannot be written.
    """
    path = folder / "engine-id"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return _checked(path)
        text = new_id(clock.now())
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(text + "\n", encoding="ascii")
        temporary.replace(path)
    except OSError as error:
        raise FailedPreconditionError(
            f"cannot keep the engine's identity in {folder}: {error.strerror}; "
            "choose another folder with --data-dir"
        ) from error
    return text


def _checked(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    try:
        if len(text) == ID_LENGTH and parse_id_prefix(text) == text:
            return text
    except InvalidArgumentError:
        pass
    raise FailedPreconditionError(
        f"{path} does not hold an engine's id; delete it to make a new identity"
    )
