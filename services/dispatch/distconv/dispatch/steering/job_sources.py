"""What new jobs are made on: their sources, and what is known of these already."""

import asyncio
from collections.abc import Mapping, Sequence

from distconv.core.errors import (
    DistconvError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from distconv.core.media import MediaInfo
from distconv.core.names import object_name
from distconv.dispatch.objects.port import StoredObject
from distconv.dispatch.objects.sources import Sources
from distconv.dispatch.steering.validation import CheckedOrder
from distconv.dispatch.steering.wrongs import Wrongs
from distconv.dispatch.store.port import Store

# Questions to storage at once: enough to fill its connection, too few to flood it.
_STATS_AT_ONCE = 64
# Of so many sources it is remembered what they are; a few KiB each.
_KNOWN_MEDIA = 1024


class JobSources:
    """Find the sources of orders, and say what they are as far as it is known."""

    def __init__(self, store: Store, sources: Sources, *, max_bytes: int) -> None:
        """`max_bytes` is the largest source that is taken."""
        self._store = store
        self._sources = sources
        self._max_bytes = max_bytes
        # By tenant and object: what a source is never changes, and a ladder asks many times.
        self._known_media: dict[tuple[str, str], MediaInfo] = {}

    async def find(
        self, tenant: str, checked: Sequence[CheckedOrder], wrongs: Wrongs
    ) -> Mapping[str, StoredObject]:
        """Return the sources by their ids; each distinct one is asked for once.

        What a repeated request names may be missing: it is answered though its source be gone.
        What else is wrong goes to `wrongs`, whose error this raises.
        """
        gate = asyncio.Semaphore(_STATS_AT_ONCE)
        found: dict[str, StoredObject] = {}
        failed: dict[str, DistconvError] = {}

        async def ask(object_id: str) -> None:
            async with gate:
                try:
                    found[object_id] = await self._one(tenant, object_id)
                except DistconvError as error:
                    failed[object_id] = error

        wanted = dict.fromkeys(c.source_object_id for c in checked)
        if len(wanted) == 1:
            await ask(*wanted)
        else:
            async with asyncio.TaskGroup() as group:
                for object_id in wanted:
                    group.create_task(ask(object_id))
        if failed:
            ids = [c.request_id for c in checked if c.request_id]
            known = await self._store.list_requests(tenant, ids) if ids else ()
            repeated = {request.request_id for request in known}
            for index, order in enumerate(checked):
                error = failed.get(order.source_object_id)
                if error is not None and order.request_id not in repeated:
                    wrongs.add(index, error)
        wrongs.raise_if_any()
        return found

    async def media(
        self, tenant: str, sources: Mapping[str, StoredObject]
    ) -> Mapping[str, MediaInfo]:
        """Return what earlier jobs found in the sources: objects never change.

        An upload that failed may be followed by another of the same object, most likely of
        another size.
        """
        gate = asyncio.Semaphore(_STATS_AT_ONCE)
        known = self._known_media
        found = {key: known[tenant, key] for key in sources if (tenant, key) in known}

        failed: list[DistconvError] = []

        async def ask(object_id: str) -> None:
            try:
                async with gate:
                    job = await self._store.get_probed_job(tenant, object_id)
            except DistconvError as error:  # raised below: a group would hide what it is
                failed.append(error)
                return
            if job is not None and job.source_media is not None:
                found[object_id] = known[tenant, object_id] = job.source_media
                if len(known) > _KNOWN_MEDIA:
                    del known[next(iter(known))]

        async with asyncio.TaskGroup() as group:
            for object_id in sources:
                if object_id not in found:
                    group.create_task(ask(object_id))
        if failed:
            raise failed[0]
        return {
            key: media
            for key, media in found.items()
            if sources[key].committed or sources[key].size_bytes == media.size_bytes
        }

    async def _one(self, tenant: str, object_id: str) -> StoredObject:
        source = await self._sources.stat(tenant, object_id)
        if source is None:
            raise missing_source(object_id)
        if not source.committed and not source.size_bytes:
            raise FailedPreconditionError(
                f"{object_name(object_id)} is being uploaded and its size is not known; "
                "say its size when you open the upload, or complete the upload first"
            )
        if source.size_bytes > self._max_bytes:
            raise InvalidArgumentError(
                f"the source has {source.size_bytes} bytes; this server takes at most "
                f"{self._max_bytes}",
                field="job.source.object",
            )
        return source


def missing_source(object_id: str) -> NotFoundError:
    """Say that a job's source is not in storage."""
    return NotFoundError(
        f"there is no object objects/{object_id}; upload the source first",
        metadata={"field": "job.source.object"},
    )
