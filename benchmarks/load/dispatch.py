"""distconv-dispatch as it is in production, but for its port to storage.

Every object is there, committed, of one size and digest, so that what is measured is the control
plane and not a disk.
"""

from typing import Any

from benchmarks.load.media import SHA256, SIZE_BYTES
from distconv.dispatch import serving
from distconv.dispatch.main import main
from distconv.dispatch.objects.port import StoredObject


class MemoryObjects:
    """Every object is there."""

    def __init__(self, *_: Any) -> None:
        pass

    async def stat(self, tenant: str, object_id: str) -> StoredObject:  # noqa: ARG002  # the port's signature
        """Return it."""
        return StoredObject(id=object_id, size_bytes=SIZE_BYTES, sha256=SHA256, committed=True)

    async def delete(self, tenant: str, object_id: str) -> None:
        """Delete nothing."""

    async def close(self) -> None:
        """Close nothing."""


if __name__ == "__main__":
    serving.StorageObjects = MemoryObjects  # type: ignore[assignment,attr-defined]
    main()
