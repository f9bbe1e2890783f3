"""Fetch an object while it is still being written, and go on where it broke off."""

from collections.abc import Callable

from distconv.client.access import ObjectAccess
from distconv.client.connection import Connection
from distconv.client.partial import PartialFile
from distconv.client.reading import Reading
from distconv.client.stored import Direction, StoredObject, Transfer
from distconv.core.errors import InternalError
from distconv.v1 import object_pb2 as pb

OnTransfer = Callable[[Transfer], None]


async def follow(
    connection: Connection,
    name: str,
    target: PartialFile,
    on_progress: OnTransfer | None = None,
) -> StoredObject:
    """Fetch the bytes of an object's upload into `target` as they come.

    Returns the object once it is committed. What is in `target` then is what
    was sent, as far as it came: of an object that was finished, not yet the
    object. Raises UploadFailedError when the upload fails.
    """
    access = await ObjectAccess.grant(connection, pb.MEDIA_ACTION_READ, name)

    def report() -> None:
        if on_progress is not None:
            on_progress(
                Transfer(
                    direction=Direction.DOWNLOAD,
                    done_bytes=target.written_bytes,
                    total_bytes=None,
                )
            )

    report()
    reading = Reading(access, connection.patience(), target, follow=True, on_written=report)
    stored = await reading.run()
    if stored is None:
        raise InternalError(f"{name} was followed to its end, and nothing came of it")
    return stored
