"""Create jobs: one, or many at once, all or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import (
    AlreadyExistsError,
    DistconvError,
    InvalidArgumentError,
    NotFoundError,
)
from distconv.core.media import MediaInfo
from distconv.core.profiles import ProfileCatalogue
from distconv.core.states import JobState
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.lifecycle.plan import plan, with_media
from distconv.dispatch.objects.port import StoredObject
from distconv.dispatch.objects.sources import Sources
from distconv.dispatch.reading.views import JobView, Views
from distconv.dispatch.steering.job_sources import JobSources, missing_source
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
_IDS_A_MILLISECOND = 16


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
        self._changes = changes
        self._sources = JobSources(store, sources, max_bytes=limits.max_source_bytes)
        self._views = views
        self._catalogue = catalogue
        self._limits = limits
        self._clock = clock

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
        sources = await self._sources.find(who.tenant, checked, wrongs)
        if orders[0].validate_only:
            now = self._clock.now()
            return [_record(who, c, sources[c.source_object_id], "", now) for c in checked]
        try:
            made = await self._made(who, checked, sources, of_batch=wrongs.of_batch)
        except _ForgottenError:
            # What let a missing source pass was purged a moment ago.
            sources = await self._sources.find(who.tenant, checked, wrongs)
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
        probed = await self._sources.media(who.tenant, sources)

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
                wrongs.add(index, missing_source(source.id))
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
        transfer_mode=order.transfer_mode,
        create_time=now,
        update_time=now,
    )
