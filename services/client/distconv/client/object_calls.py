"""What the SDK does with stored files, but for sending and fetching them."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from distconv.client.access import ObjectAccess
from distconv.client.calls import Calls
from distconv.client.convert.object import to_collected, to_stored
from distconv.client.source import SourceFile
from distconv.client.stored import CollectedObject, StoragePool, StoredObject
from distconv.client.streams import persistently
from distconv.core.errors import NotFoundError
from distconv.core.ids import ID_LENGTH
from distconv.core.names import object_name, parse_prefix
from distconv.rpc.channel import UNARY_TIMEOUT_S
from distconv.rpc.convert.times import timestamp
from distconv.v1 import dispatch_service_pb2 as dispatch
from distconv.v1 import object_pb2 as pb
from distconv.v1 import storage_service_pb2 as storage

# Every object of the tenant is looked at.
_COLLECT_TIMEOUT_S = 300.0


class ObjectCalls(Calls):
    """Show, list and delete stored files.

    The name of one is always `objects/{id}` or an id; either may be shortened to
    what only one of the tenant's begins with.
    """

    async def get_object(self, name: str) -> StoredObject:
        """Return a stored file. Raises NotFoundError."""
        access = await ObjectAccess.grant(
            self._connection, pb.MEDIA_ACTION_READ, await self._whole_name(name)
        )
        response = await access.at_any(
            lambda: self._connection.once(
                access.stub.GetObject,
                storage.GetObjectRequest(name=access.object),
                metadata=access.metadata,
                address=access.address,
            )
        )
        return to_stored(response.object)

    async def find_stored(self, source: Path | BinaryIO) -> StoredObject | None:
        """Return a stored file with the same content as a local one, None when there is none.

        A digest of the local one is made only when one of the same size is stored.
        Raises InvalidArgumentError (field `source`) and CorruptSourceError (empty).
        """
        access = await ObjectAccess.grant(self._connection, pb.MEDIA_ACTION_LIST)
        with SourceFile.open(source) as file:
            request = storage.FindObjectRequest(size_bytes=file.size_bytes)
            if not (await self._find(access, request)).size_known:
                return None
            request.sha256 = await file.sha256()
        try:
            return to_stored((await self._find(access, request)).object)
        except NotFoundError:
            return None

    async def _find(
        self, access: ObjectAccess, request: storage.FindObjectRequest
    ) -> storage.FindObjectResponse:
        """Ask with the patience of the transfer that this may spare."""
        return await persistently(
            access,
            self._connection.patience(),
            lambda: self._connection.once(
                access.stub.FindObject, request, metadata=access.metadata, address=access.address
            ),
        )

    async def list_objects(
        self,
        *,
        id_prefix: str = "",
        file_name_prefix: str = "",
        labels: Mapping[str, str] | None = None,
        from_time: datetime | None = None,
        before_time: datetime | None = None,
        page_size: int = 0,
    ) -> AsyncGenerator[StoredObject, None]:
        """Yield the tenant's stored files, newest first, fetching pages as needed.

        All that is said must hold of each: how its id and its file's name begin,
        labels it has, and when it was made (`before_time` not included).
        """
        access = await ObjectAccess.grant(self._connection, pb.MEDIA_ACTION_LIST)
        request = storage.ListObjectsRequest(
            page_size=page_size,
            file_name_prefix=file_name_prefix,
            labels=labels,
            from_time=timestamp(from_time),
            before_time=timestamp(before_time),
            id_prefix=id_prefix,
        )
        while True:
            await access.refresh()
            response = await access.at_any(
                lambda: self._connection.once(
                    access.stub.ListObjects,
                    request,
                    metadata=access.metadata,
                    address=access.address,
                )
            )
            for message in response.objects:
                yield to_stored(message)
            request.page_token = response.next_page_token
            if not request.page_token:
                return

    async def delete_object(self, name: str, *, timeout_s: float = UNARY_TIMEOUT_S) -> None:
        """Delete a stored file for good.

        Raises NotFoundError, FailedPreconditionError (a job that has not ended
        needs it) and PermissionDeniedError (an engine is writing it). Once that is
        past it is as good as deleted, whatever becomes of the call.
        """
        access = await ObjectAccess.grant(
            self._connection, pb.MEDIA_ACTION_DELETE, await self._whole_name(name)
        )
        await access.at_any(
            lambda: self._connection.once(
                access.stub.DeleteObject,
                storage.DeleteObjectRequest(name=access.object),
                timeout_s=timeout_s,
                metadata=access.metadata,
                address=access.address,
            )
        )

    async def list_pools(self) -> tuple[StoragePool, ...]:
        """Return the storage pools, the main one first."""
        access = await ObjectAccess.grant(self._connection, pb.MEDIA_ACTION_LIST)
        response = await self._connection.once(
            access.stub.ListPools,
            storage.ListPoolsRequest(),
            metadata=access.metadata,
            address=access.address,
        )
        return tuple(
            StoragePool(
                name=pool.name,
                capacity_bytes=pool.capacity_bytes if pool.HasField("capacity_bytes") else None,
                used_bytes=pool.used_bytes,
                free_bytes=pool.free_bytes if pool.HasField("free_bytes") else None,
                away_reason=pool.away_reason,
            )
            for pool in response.pools
        )

    async def collect_objects(self, *, dry_run: bool = False) -> tuple[CollectedObject, ...]:
        """Collect the tenant's stored objects that no job needs any more, and return them.

        Those are outputs that did not win, results that have expired, abandoned
        uploads and what a crash left; never what was uploaded whole. With `dry_run`
        they are returned alone. Servers do so by themselves now and then.
        """
        response = await self._connection.once(
            self._connection.dispatch.CollectObjects,
            dispatch.CollectObjectsRequest(dry_run=dry_run),
            timeout_s=_COLLECT_TIMEOUT_S,
        )
        return tuple(map(to_collected, response.collected))

    async def _whole_name(self, name: str) -> str:
        """Return the whole name that a person shortened. Raises NotFoundError."""
        prefix = parse_prefix(name, "objects")
        if len(prefix) == ID_LENGTH:
            return object_name(prefix)
        found: list[str] = []
        async with aclosing(self.list_objects(id_prefix=prefix, page_size=2)) as objects:
            async for stored in objects:
                found.append(stored.name)
                if len(found) > 1:
                    raise NotFoundError(f"several objects begin with {prefix}; write more of it")
        if not found:
            raise NotFoundError(f"there is no object '{name}'; 'dcctl objects list' shows all")
        return found[0]
