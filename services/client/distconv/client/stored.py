"""Files in storage, and how far a file has come on its way there or back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from distconv.core.descriptions import TRANSIENT_LABEL
from distconv.core.names import bare


class ObjectState(StrEnum):
    """How far a file in storage is: COMMITTED is whole, checked, durable, and never changes."""

    UPLOADING = "UPLOADING"
    COMMITTED = "COMMITTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """A file in storage: `objects/{id}`, bytes, SHA-256 in hexadecimal.

    While it is UPLOADING its size is the declared one, 0 when none was, and it
    has no digest. `file_name` and `labels` are what its owner calls it. `job` is
    what the label `distconv.job` says, as `jobs/{id}`, empty without one: engines set
    it on outputs, to the job that they made them for. Nothing keeps others who
    upload from setting it, too.
    """

    name: str
    size_bytes: int
    sha256: str
    state: ObjectState = ObjectState.COMMITTED
    file_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    create_time: datetime | None = None
    commit_time: datetime | None = None
    pool: str = ""
    job: str = ""

    @property
    def id(self) -> str:
        """Return the id alone."""
        return bare(self.name, "objects")

    @property
    def is_transient(self) -> bool:
        """Tell whether whoever has sent it removes it again: the source of a transcode."""
        return TRANSIENT_LABEL in self.labels


def nothing_sent(source: Path, stored: StoredObject) -> str:
    """Say that a file was not sent, since it is stored."""
    return f"'{source}' is stored already as {stored.name}: nothing was sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoragePool:
    """A named place for stored files, in bytes.

    `capacity_bytes` is None where there is no such bound, `free_bytes` where it is not known: no
    object store tells it, so that a bucket has it only within a capacity. `away_reason` says why a
    pool on a disk cannot be reached, empty where no trouble is known.
    """

    name: str
    capacity_bytes: int | None
    used_bytes: int
    free_bytes: int | None
    away_reason: str = ""


class CollectReason(StrEnum):
    """Why something in storage is collected."""

    LOST_OUTPUT = "LOST_OUTPUT"
    EXPIRED_OUTPUT = "EXPIRED_OUTPUT"
    ABANDONED_UPLOAD = "ABANDONED_UPLOAD"
    LEFTOVER = "LEFTOVER"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedObject:
    """Something in storage that was collected, or would be; of an upload at most so many bytes."""

    name: str
    reason: CollectReason
    size_bytes: int


class Direction(StrEnum):
    """Which way a file goes."""

    UPLOAD = "upload"
    DOWNLOAD = "download"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """How far a file has come: of `total_bytes`, `done_bytes` are safe at the other end.

    `total_bytes` is None while the file is still being written there. A download
    begins anew at 0 when what was followed has been discarded.
    """

    direction: Direction
    done_bytes: int
    total_bytes: int | None

    @property
    def fraction(self) -> float | None:
        """Return the share that is done, 0..1; None when the whole is not known yet."""
        if self.total_bytes is None:
            return None
        return self.done_bytes / self.total_bytes if self.total_bytes else 1.0
