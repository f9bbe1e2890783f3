"""Create jobs: one, or many at once, all or none."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import (
    AlreadyExistsError,
    DistconvError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from distconv.core.media import MediaInfo
from distconv.core.names import object_name
from distconv.core.profiles import ProfileCatalogue
from distconv.core.states import JobState
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.lifecycle.plan import plan, with_media
from distconv.dispatch.objects.port import StoredObject
from distconv.dispatch.objects.sources import Sources
from distconv.dispatch.reading.views import JobView, Views
from distconv.dispatch.steering.order import JobOrder
from distconv.dispatch.steering.repeats import remembered, require_same
from distconv.dispatch.steering.validation import CheckedOrder, JobLimits, OrderChecker
from distconv.dispatch.steering.wrongs import Wrongs
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import JobRecord, RequestRecord
from distconv.rpc.auth import Principal

_log = structlog.get_logger()

MAX_BATCH = 10_000
_CREATE = "CreateJob"
# Questions to storage at once: enough to fill its connection, too few to flood it.
_STATS_AT_ONCE = 64
_IDS_A_MILLISECOND = 16
# Of so many sources it is remembered what they are; a few KiB each.
_KNOWN_MEDIA = 1024


class _ForgottenError(Exception):
    """A request that was known is not any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeLimits:
    """What the server allows: of jobs, of sources, and how long it remembers requests."""

    jobs: JobLimits
    max_source_bytes: int
    request_retention: timedelta


class JobIntake:
    """Check orders and make jobs of them."""

    def __init__(
        self,
        *,
        store: Store,
        changes: Changes,
        sources: Sources,
        views: Views,
        catalogue: ProfileCatalogue,
        limits: IntakeLimits,
        clock: Clock,
    ) -> None:
        self._store = store
        self._changes = changes
        self._sources_at = sources
        self._views = views
        self._catalogue = catalogue
        self._limits = limits
        self._clock = clock
        # By tenant and object: what a source is never changes, and a ladder asks many times.
        self._known_media: dict[tuple[str, str], MediaInfo] = {}

    async def create(self, who: Principal, order: JobOrder) -> JobView:
        """Create a job, or return the one that the same request made before.

        The source may still be uploaded if its upload says its size. Raises
        InvalidArgumentError, NotFoundError, FailedPreconditionError (the
        source's size is not known yet) or AlreadyExistsError (the request id was used
        for something else).
        """
        (job,) = await self._create(who, [order], Wrongs(of_batch=False))
        if order.validate_only:
            return self._views.running(job)
        return await self._views.created(job, plan(job, new_id=str)[0])

    async def create_many(self, who: Principal, orders: Sequence[JobOrder]) -> Sequence[JobRecord]:
        """Create jobs, all or none, in the order given; see `create` for what it raises.

        The `field` of an error begins with the index of its order, `requests[3].`.
        """
        if not 1 <= len(orders) <= MAX_BATCH:
            raise InvalidArgumentError(
                f"a batch has 1 to {MAX_BATCH} requests, this one {len(orders)}; split it",
                field="requests",
            )
        if len({order.validate_only for order in orders}) > 1:
            raise InvalidArgumentError(
                "some requests are to be validated only, others to create jobs; send them apart",
                field="requests",
            )
        return await self._create(who, orders, Wrongs(of_batch=True))

    async def _create(
        self, who: Principal, orders: Sequence[JobOrder], wrongs: Wrongs
    ) -> Sequence[JobRecord]:
        checked = self._check(orders, wrongs)
        sources = await self._sources(who.tenant, checked, wrongs)
        if orders[0].validate_only:
            now = self._clock.now()
            return [_record(who, c, sources[c.source_object_id], "", now) for c in checked]
        try:
            made = await self._made(who, checked, sources, of_batch=wrongs.of_batch)
        except _ForgottenError:
            # What let a missing source pass was purged a moment ago.
            sources = await self._sources(who.tenant, checked, wrongs)
            made = await self._made(who, checked, sources, of_batch=wrongs.of_batch)
        _log.info("jobs_created", count=len(made), tenant=who.tenant, first=made[0].id)
        return made

    async def _made(
        self,
        who: Principal,
        checked: Sequence[CheckedOrder],
        sources: Mapping[str, StoredObject],
        *,
        of_batch: bool,
    ) -> list[JobRecord]:
        probed = await self._probed(who.tenant, sources)

        async def make(change: Change) -> list[JobRecord]:
            return await self._add(
                change,
                who=who,
                checked=checked,
                sources=sources,
                probed=probed,
                wrongs=Wrongs(of_batch=of_batch),
            )

        ids = [order.request_id for order in checked if order.request_id]
        keys = Keys(
            # Locked, so that no source is deleted meanwhile.
            tenants=(who.tenant,),
            requests=tuple((who.tenant, request_id) for request_id in ids),
            garbage=tuple(sources),
        )
        try:
            return await self._changes.make(make, keys=keys)
        except AlreadyExistsError as error:
            if "job" in error.metadata or not ids:
                raise
            # The same request came twice at once, and the other was first: it answers for both.
            return await self._changes.make(make, keys=keys)

    def _check(self, orders: Sequence[JobOrder], wrongs: Wrongs) -> list[CheckedOrder]:
        checker = OrderChecker(self._catalogue, self._limits.jobs, self._clock.now())
        checked: list[CheckedOrder] = []
        seen: set[str] = set()
        for index, order in enumerate(orders):
            try:
                one = checker.check(order)
                if one.request_id and one.request_id in seen:
                    raise InvalidArgumentError(  # collected with the others
                        f"the request id '{one.request_id}' is of two requests of the batch",
                        field="request_id",
                    )
            except DistconvError as error:
                wrongs.add(index, error)
                continue
            seen.add(one.request_id)
            checked.append(one)
        wrongs.raise_if_any()
        return checked

    async def _sources(
        self, tenant: str, checked: Sequence[CheckedOrder], wrongs: Wrongs
    ) -> Mapping[str, StoredObject]:
        """Return the sources by their ids; each distinct one is asked for once.

        What a repeated request names may be missing: it is answered though its source be gone.
        """
        gate = asyncio.Semaphore(_STATS_AT_ONCE)
        found: dict[str, StoredObject] = {}
        failed: dict[str, DistconvError] = {}

        async def ask(object_id: str) -> None:
            async with gate:
                try:
                    found[object_id] = await self._source(tenant, object_id)
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

    async def _probed(
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

    async def _source(self, tenant: str, object_id: str) -> StoredObject:
        source = await self._sources_at.stat(tenant, object_id)
        if source is None:
            raise _missing(object_id)
        if not source.committed and not source.size_bytes:
            raise FailedPreconditionError(
                f"{object_name(object_id)} is being uploaded and its size is not known; "
                "say its size when you open the upload, or complete the upload first"
            )
        if source.size_bytes > self._limits.max_source_bytes:
            raise InvalidArgumentError(
                f"the source has {source.size_bytes} bytes; this server takes at most "
                f"{self._limits.max_source_bytes}",
                field="job.source.object",
            )
        return source

    async def _add(
        self,
        change: Change,
        *,
        who: Principal,
        checked: Sequence[CheckedOrder],
        sources: Mapping[str, StoredObject],
        probed: Mapping[str, MediaInfo],
        wrongs: Wrongs,
    ) -> list[JobRecord]:
        ids = [c.request_id for c in checked if c.request_id]
        known = await change.tx.list_requests(who.tenant, ids) if ids else ()
        repeated = {request.request_id: request for request in known}
        made = []
        for index, order in enumerate(checked):
            request = repeated.get(order.request_id)
            if request is not None:
                made.append(await _made_before(change, request, order))
                continue
            if order.source_object_id not in sources:
                raise _ForgottenError(order.request_id)
            source = sources[order.source_object_id]
            if await change.tx.get_garbage(source.id) is not None:
                wrongs.add(index, _missing(source.id))
                continue
            # Ids sort by time: those of a batch in its order, and never many in one millisecond,
            # of which some would be alike.
            time = change.now + timedelta(milliseconds=index // _IDS_A_MILLISECOND)
            new_id = partial(change.make_id, time)
            job = _record(who, order, source, new_id(), change.now)
            if (media := probed.get(source.id)) is not None:
                job = with_media(job, media)
            await change.add_job(job, plan(job, new_id=new_id))
            if order.request_id:
                await change.tx.add_request(self._request(job, order, change.now))
            made.append(job)
        wrongs.raise_if_any()
        return made

    def _request(self, job: JobRecord, order: CheckedOrder, now: datetime) -> RequestRecord:
        return remembered(
            job.tenant,
            order.request_id,
            method=_CREATE,
            digest=order.digest,
            job_id=job.id,
            now=now,
            retention=self._limits.request_retention,
        )


def _missing(object_id: str) -> NotFoundError:
    return NotFoundError(
        f"there is no object objects/{object_id}; upload the source first",
        metadata={"field": "job.source.object"},
    )


async def _made_before(change: Change, known: RequestRecord, order: CheckedOrder) -> JobRecord:
    require_same(known, method=_CREATE, digest=order.digest)
    job = await change.tx.get_job(known.job_id)
    if job is None:
        raise NotFoundError(f"job {known.job_id}, which this request made, is gone")
    return job


def _record(
    who: Principal, order: CheckedOrder, source: StoredObject, job_id: str, now: datetime
) -> JobRecord:
    return JobRecord(
        id=job_id,
        tenant=who.tenant,
        creator=who.user,
        state=JobState.PENDING,
        source_object_id=order.source_object_id,
        source_file_name=order.source_file_name,
        source_size_bytes=source.size_bytes,
        profile_name=order.profile.name,
        profile=order.profile,
        priority=order.priority,
        deadline=order.deadline,
        ttl=order.ttl,
        expire_time=None if order.ttl is None else now + order.ttl,
        max_retries=order.max_retries,
        labels=order.labels,
        engine_tags=order.engine_tags,
        create_time=now,
        update_time=now,
    )
