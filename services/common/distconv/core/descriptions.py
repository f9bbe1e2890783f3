"""What users call their files and say of them, checked as it comes in."""

import re
import unicodedata
from collections.abc import Mapping

from distconv.core.errors import InvalidArgumentError

# The label of an output whose value is the id of the job that it was made for: engines set it, and
# storage, which knows no jobs, keeps it.
JOB_LABEL = "distconv.job"
# The label of a source that a transcode has sent for itself and removes again.
TRANSIENT_LABEL = "distconv.transient"
MAX_FILE_NAME_CHARS = 255
MAX_LABELS = 32
MAX_LABEL_VALUE_CHARS = 255
_LABEL_KEY = re.compile(r"[a-z0-9_.-]{1,63}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_file_name(name: str, *, field: str) -> str:
    """Return a file's own name when it is one, without a folder. Raises InvalidArgumentError."""
    if not 1 <= len(name) <= MAX_FILE_NAME_CHARS:
        raise _wrong(field, f"has {len(name)} characters", f"1 to {MAX_FILE_NAME_CHARS} characters")
    if name in (".", "..") or "/" in name or "\\" in name:
        raise _wrong(field, repr(name[:80]), "a file's own name, without its folder")
    if (found := _CONTROL.search(name)) is not None:
        raise _wrong(
            field,
            f"has the control character {ord(found[0]):#04x} at position {found.start()}",
            "a file's own name, without control characters",
        )
    # Two names that look the same would else be two, of which a search finds one.
    if not unicodedata.is_normalized("NFC", name):
        raise _wrong(field, repr(name[:80]), "normalised to Unicode's form NFC")
    return name


def check_labels(labels: Mapping[str, str], *, field: str) -> Mapping[str, str]:
    """Return the labels when all are acceptable. Raises InvalidArgumentError."""
    if len(labels) > MAX_LABELS:
        raise _wrong(field, f"{len(labels)} labels", f"at most {MAX_LABELS}")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise _wrong(field, f"key '{key[:80]}'", "1 to 63 characters of [a-z0-9_.-]")
        if len(value) > MAX_LABEL_VALUE_CHARS:
            raise _wrong(
                field,
                f"a value of {len(value)} characters",
                f"at most {MAX_LABEL_VALUE_CHARS}",
            )
        if "\0" in value:  # no database but SQLite keeps it
            raise _wrong(field, f"the value of '{key}' holds a NUL", "any other character")
    return dict(labels)


def _wrong(field: str, found: str, allowed: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{field} is not acceptable: {found}; allowed is {allowed}", field=field
    )
