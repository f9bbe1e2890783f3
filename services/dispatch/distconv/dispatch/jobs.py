"""What clients do with jobs."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from distconv.core.names import job_name, object_name, parse_prefix
from distconv.core.profiles import ProfileCatalogue
from distconv.core.states import JobState
from distconv.dispatch.change import Change, Changes
from distconv.dispatch.concluding import Concluding
from distconv.dispatch.listing import (
    make_token,
    page_size,
    parse_filter,
    parse_order,
    parse_states,
    read_token,
)
from distconv.dispatch.objects import Objects, StoredObject
from distconv.dispatch.order import JobOrder
from distconv.dispatch.plan import plan
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.queries import JobQuery
from distconv.dispatch.store.records import JobRecord, RequestRecord
from distconv.dispatch.validation import CheckedOrder, JobLimits, check_order, profile_id
from distconv.dispatch.views import JobView, TaskView, Views
from distconv.dispatch.watchers import Watchers
from distconv.rpc.auth import Principal

_log = structlog.get_logger()
_CREATE = "CreateJob"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """A list request as it came."""

    page_size: int = 0
    page_token: str = ""
    filter: str = ""
    order_by: str = ""
    with_total_size: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """A page of jobs; `total_size` only when it was asked for."""

    jobs: Sequence[JobView]
    next_page_token: str
    total_size: int | None


class Jobs:
    """Create, show, list, follow and cancel the jobs of the caller's tenant."""

    def __init__(
        self,
        *,
        store: Store,
        changes: Changes,
        concluding: Concluding,
        objects: Objects,
        views: Views,
        watchers: Watchers,
        catalogue: ProfileCatalogue,
        limits: JobLimits,
        max_source_bytes: int,
        progress_interval_s: float,
        clock: Clock,
    ) -> None:
        """`progress_interval_s` is the shortest time between two snapshots of mere progress."""
        self._store = store
        self._changes = changes
        self._concluding = concluding
        self._objects = objects
        self._views = views
        self._watchers = watchers
        self._catalogue = catalogue
        self._limits = limits
        self._max_source_bytes = max_source_bytes
        self._progress_interval_s = progress_interval_s
        self._clock = clock

    async def create(self, who: Principal, order: JobOrder) -> JobView:
        """Create a job, or return the one that the same request made before.

        Raises InvalidArgumentError, NotFoundError, FailedPreconditionError (the
        source is not uploaded) or AlreadyExistsError (the request id was used
        for something else).
        """
        checked = check_order(
            order, catalogue=self._catalogue, limits=self._limits, now=self._clock.now()
        )
        if checked.request_id:
            # Asked again before storage is: a repeated call is answered though the source be gone.
            made = await self._store.get_request(who.tenant, checked.request_id)
            if made is not None:
                return await self._views.job(await self._repeated(made, checked))
        source = await self._source(who.tenant, checked.source_object_id)
        if checked.validate_only:
            return JobView(job=self._record(who, checked, source, job_id=""))

        async def make(change: Change) -> JobRecord | RequestRecord:
            if checked.request_id:
                known = await change.tx.get_request(who.tenant, checked.request_id)
                if known is not None:
                    return known
            job = self._record(who, checked, source, job_id=change.new_id())
            await change.add_job(job, plan(job, new_id=change.new_id))
            if checked.request_id:
                await change.tx.add_request(
                    RequestRecord(
                        tenant=who.tenant,
                        request_id=checked.request_id,
                        method=_CREATE,
                        digest=checked.digest,
                        job_id=job.id,
                        create_time=change.now,
                    )
                )
            return job

        job = await self._changes.make(make)
        if isinstance(job, RequestRecord):
            return await self._views.job(await self._repeated(job, checked))
        _log.info(
            "job_created",
            job=job.id,
            tenant=job.tenant,
            profile=job.profile_name,
            size_bytes=job.source_size_bytes,
        )
        return await self._views.job(job)

    async def _repeated(self, known: RequestRecord, checked: CheckedOrder) -> JobRecord:
        if (known.method, known.digest) != (_CREATE, checked.digest):
            raise AlreadyExistsError(
                f"the request id '{checked.request_id}' was used for something else; "
                "choose another",
                metadata={"job": job_name(known.job_id)},
            )
        job = await self._store.get_job(known.job_id)
        if job is None:
            raise NotFoundError(f"job {known.job_id}, which this request made, is gone")
        return job

    async def _source(self, tenant: str, object_id: str) -> StoredObject:
        source = await self._objects.stat(tenant, object_id)
        if source is None:
            raise NotFoundError(
                f"there is no object objects/{object_id}; upload the source first",
                metadata={"field": "job.source.object"},
            )
        if not source.committed:
            raise FailedPreconditionError(
                f"{object_name(object_id)} is not wholly uploaded; complete its upload first"
            )
        if source.size_bytes > self._max_source_bytes:
            raise InvalidArgumentError(
                f"the source has {source.size_bytes} bytes; this server takes at most "
                f"{self._max_source_bytes}",
                field="job.source.object",
            )
        return source

    def _record(
        self, who: Principal, checked: CheckedOrder, source: StoredObject, *, job_id: str
    ) -> JobRecord:
        now = self._clock.now()
        return JobRecord(
            id=job_id,
            tenant=who.tenant,
            creator=who.user,
            state=JobState.PENDING,
            source_object_id=checked.source_object_id,
            source_file_name=checked.source_file_name,
            source_size_bytes=source.size_bytes,
            profile_name=checked.profile.name,
            profile=checked.profile,
            priority=checked.priority,
            deadline=checked.deadline,
            ttl=checked.ttl,
            expire_time=None if checked.ttl is None else now + checked.ttl,
            max_retries=checked.max_retries,
            labels=checked.labels,
            create_time=now,
            update_time=now,
        )

    async def get(self, who: Principal, name: str) -> JobView:
        """Return a job by its name, which may be shortened. Raises NotFoundError."""
        return await self._views.job(await self._find(who, name))

    async def tasks(self, who: Principal, name: str) -> tuple[JobRecord, list[TaskView]]:
        """Return a job's tasks with the history of their attempts."""
        job = await self._find(who, name)
        return job, await self._views.tasks(job.id)

    async def cancel(self, who: Principal, name: str) -> JobView:
        """Cancel a job; a cancelled one stays so. Raises FailedPreconditionError."""
        job = await self._find(who, name)
        return await self._views.job(await self._concluding.cancel(job.id, by=who.user))

    async def list(self, who: Principal, request: ListRequest) -> JobPage:
        """Return a page of jobs. Raises InvalidArgumentError."""
        size = page_size(request.page_size)
        order = parse_order(request.order_by)
        conditions = parse_filter(request.filter, ("state", "profile"))
        profile = conditions.get("profile")
        listing = (who.tenant, request.filter, order.value)
        query = JobQuery(
            tenant=who.tenant,
            states=parse_states(conditions.get("state"), JobState),
            profile_name=None if profile is None else profile_id(profile),
            order=order,
            after=read_token(request.page_token, *listing),
            limit=size + 1,
        )
        found = await self._store.list_jobs(query)
        page, more = found[:size], len(found) > size
        return JobPage(
            jobs=[await self._views.job(job, count_ahead=False) for job in page],
            next_page_token=make_token(page[-1].id, *listing) if more else "",
            total_size=await self._store.count_jobs(query) if request.with_total_size else None,
        )

    async def watch(self, who: Principal, name: str) -> AsyncIterator[JobView]:
        """Yield a job whenever it changed: whole, at once, and to its terminal state.

        Raises UnavailableError when the server shuts down.
        """
        job_id = (await self._find(who, name)).id
        last: JobView | None = None
        with self._watchers.follow(job_id) as watch:
            while True:
                watch.clear()
                job = await self._store.get_job(job_id)
                if job is None:
                    raise NotFoundError(f"job {job_id} is gone")
                view = await self._views.job(job)
                if view != last:
                    yield view
                if job.state.is_terminal:
                    return
                last = view
                await watch.wait(pause_s=self._progress_interval_s)

    async def _find(self, who: Principal, name: str) -> JobRecord:
        prefix = parse_prefix(name, "jobs")
        found = await self._store.find_jobs(who.tenant, prefix)
        if len(found) == 1:
            return found[0]
        if not found:
            raise NotFoundError(f"there is no job '{name}'; 'dcctl jobs list' shows all")
        raise NotFoundError(f"several jobs begin with {prefix}; write more of the id")
