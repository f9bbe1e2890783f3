"""Files in storage, and how far a file has come on its way there or back."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """A whole, checked, durable file in storage: `objects/{id}`, bytes, SHA-256 in hexadecimal."""

    name: str
    size_bytes: int
    sha256: str


class Direction(StrEnum):
    """Which way a file goes."""

    UPLOAD = "upload"
    DOWNLOAD = "download"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """How far a file has come: of `total_bytes`, `done_bytes` are safe at the other end."""

    direction: Direction
    done_bytes: int
    total_bytes: int

    @property
    def fraction(self) -> float:
        """Return the share that is done, 0..1."""
        return self.done_bytes / self.total_bytes if self.total_bytes else 1.0
