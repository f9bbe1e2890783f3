"""Fetch an object from storage into a file, and go on where it broke off."""

from collections.abc import Callable

from distconv.client.access import ObjectAccess
from distconv.client.connection import Connection
from distconv.client.convert.object import to_stored
from distconv.client.partial import PartialFile
from distconv.client.reading import Reading
from distconv.client.stored import Direction, StoredObject, Transfer
from distconv.client.streams import persistently
from distconv.core.errors import DamagedObjectError
from distconv.v1 import object_pb2 as pb
from distconv.v1 import storage_service_pb2 as storage

OnTransfer = Callable[[Transfer], None]


async def download(
    connection: Connection,
    name: str,
    target: PartialFile,
    on_progress: OnTransfer | None = None,
) -> StoredObject:
    """Fetch the object `name` into `target` and put it in its place, checked and durable."""
    access = await ObjectAccess.grant(connection, pb.MEDIA_ACTION_READ, name)
    patience = connection.patience()
    stored = await persistently(access, patience, lambda: _described(connection, access))
    await target.reserve(stored.size_bytes)

    def report() -> None:
        if on_progress is not None:
            on_progress(
                Transfer(
                    direction=Direction.DOWNLOAD,
                    done_bytes=target.written_bytes,
                    total_bytes=stored.size_bytes,
                )
            )

    report()
    if target.written_bytes < stored.size_bytes:
        await Reading(access, patience, target, follow=False, on_written=report).run()
    if target.written_bytes < stored.size_bytes:
        raise DamagedObjectError.of(
            stored.name, f"{target.written_bytes} of {stored.size_bytes} bytes are stored"
        )
    await target.commit(size_bytes=stored.size_bytes, sha256=stored.sha256)
    return stored


async def _described(connection: Connection, access: ObjectAccess) -> StoredObject:
    response = await connection.once(
        access.stub.GetObject,
        storage.GetObjectRequest(name=access.object),
        metadata=access.metadata,
        address=access.address,
    )
    return to_stored(response.object)
