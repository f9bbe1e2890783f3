"""Stored objects as dispatch sees them: the port to storage."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object at storage; `sha256` is empty while it is not committed."""

    id: str
    size_bytes: int
    sha256: str
    committed: bool


class CollectReason(StrEnum):
    """Why something in storage is collected."""

    LOST_OUTPUT = "LOST_OUTPUT"
    EXPIRED_OUTPUT = "EXPIRED_OUTPUT"
    ABANDONED_UPLOAD = "ABANDONED_UPLOAD"
    LEFTOVER = "LEFTOVER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Something in storage that is collected, or would be."""

    object_id: str
    reason: CollectReason
    size_bytes: int


class Objects(Protocol):
    """Ask storage of objects, and have them deleted, in a tenant's name."""

    async def stat(self, tenant: str, object_id: str) -> StoredObject | None:
        """Return an object, or None when the tenant has none of that id.

        Raises UnavailableError when storage cannot be asked.
        """
        ...

    async def delete(self, tenant: str, object_id: str) -> None:
        """Delete an object, committed or not; a missing one is deleted already.

        Raises UnavailableError when storage cannot be asked.
        """
        ...

    async def page(self, tenant: str, token: str) -> tuple[Sequence[StoredObject], str]:
        """Return a page of the tenant's objects and the token of the next, empty on the last.

        Raises UnavailableError when storage cannot be asked.
        """
        ...

    async def collect(self, tenant: str, *, dry_run: bool) -> Sequence[Collected]:
        """Have storage collect what it alone knows of: abandoned uploads, what a crash left.

        Raises UnavailableError when storage cannot be asked.
        """
        ...
