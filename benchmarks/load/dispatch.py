"""distconv-dispatch as it is in production, but for its port to storage.

Every object is there, committed, of one size and digest, so that what is measured is the control
plane and not a disk.
"""

from collections.abc import Sequence

from benchmarks.load.media import SHA256, SIZE_BYTES
from distconv.dispatch import serving
from distconv.dispatch.main import main
from distconv.dispatch.objects.port import Collected, StoredObject
from distconv.dispatch.objects.rpc import StorageObjects


class EveryObject(StorageObjects):
    """Every object is there, and storage is not asked."""

    async def stat(self, tenant: str, object_id: str) -> StoredObject:  # noqa: ARG002  # the port's signature
        """Return it."""
        return StoredObject(id=object_id, size_bytes=SIZE_BYTES, sha256=SHA256, committed=True)

    async def delete(self, tenant: str, object_id: str) -> None:
        """Delete nothing."""

    async def page(self, tenant: str, token: str) -> tuple[Sequence[StoredObject], str]:  # noqa: ARG002  # the port's signature
        """List none."""
        return (), ""

    async def collect(self, tenant: str, *, dry_run: bool) -> Sequence[Collected]:  # noqa: ARG002  # the port's signature
        """Collect nothing."""
        return ()


if __name__ == "__main__":
    serving.StorageObjects = EveryObject  # type: ignore[attr-defined]
    main()
