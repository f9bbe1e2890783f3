"""Stored objects as dispatch sees them: the port to storage."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object at storage; `sha256` is empty while it is not committed."""

    id: str
    size_bytes: int
    sha256: str
    committed: bool


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
