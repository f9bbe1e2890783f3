"""What clients see of jobs and their tasks."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from distconv.core.errors import NotFoundError
from distconv.core.names import bare
from distconv.dispatch.changes.watchers import Watchers
from distconv.dispatch.reading.finding import Finder
from distconv.dispatch.reading.job_filter import job_filter, task_filter
from distconv.dispatch.reading.listing import (
    SortValue,
    make_token,
    page_size,
    parse_order,
    read_token,
)
from distconv.dispatch.reading.views import JobView, TaskView, Views
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.queries import JobQuery, Order, TaskQuery
from distconv.dispatch.store.records import AttemptRecord, JobRecord, TransitionRecord
from distconv.rpc.auth import Principal

# Stands for every job of the tenant in the name of a parent.
_ALL = "-"


class TimeOrder(StrEnum):
    """The orders of a list of tasks, which are made with their jobs."""

    NEWEST_FIRST = "create_time desc"
    OLDEST_FIRST = "create_time"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """A list request as it came; `wait_reasons` says whether why jobs wait is to be found out."""

    page_size: int = 0
    page_token: str = ""
    filter: str = ""
    order_by: str = ""
    with_total_size: bool = False
    show_deleted: bool = False
    wait_reasons: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """A page of jobs; `total_size` only when it was asked for."""

    jobs: Sequence[JobView]
    next_page_token: str
    total_size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPage:
    """A page of tasks; `total_size` only when it was asked for."""

    tasks: Sequence[TaskView]
    next_page_token: str
    total_size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryView:
    """All that happened to a job, oldest first."""

    transitions: Sequence[TransitionRecord]
    attempts: Sequence[AttemptRecord]


class Jobs:
    """Show, list and follow the jobs of the caller's tenant."""

    def __init__(
        self,
        *,
        store: Store,
        finder: Finder,
        views: Views,
        watchers: Watchers,
        progress_interval_s: float,
    ) -> None:
        """`progress_interval_s` is the shortest time between two snapshots of mere progress."""
        self._store = store
        self._finder = finder
        self._views = views
        self._watchers = watchers
        self._progress_interval_s = progress_interval_s

    async def get(self, who: Principal, name: str) -> JobView:
        """Return a job by its name, which may be shortened. Raises NotFoundError."""
        return await self._views.job(await self._finder.job(who, name))

    async def history(self, who: Principal, name: str) -> HistoryView:
        """Return every move of a job and every attempt at it. Raises NotFoundError."""
        job = await self._finder.job(who, name)
        return HistoryView(
            transitions=await self._store.list_transitions(job.id),
            attempts=await self._store.list_attempts(job.id),
        )

    async def list(self, who: Principal, request: ListRequest) -> JobPage:
        """Return a page of jobs. Raises InvalidArgumentError, NotFoundError (the engine)."""
        size = page_size(request.page_size)
        order = parse_order(request.order_by, Order, Order.NEWEST_FIRST)
        wanted = job_filter(request.filter, who)
        listing = ("jobs", wanted.tenant, request.filter, order.value, str(request.show_deleted))
        after, value = read_token(request.page_token, listing)
        query = JobQuery(
            tenant=wanted.tenant,
            states=wanted.states,
            profile_name=wanted.profile_name,
            engine_id=await self._engine_id(wanted.engine),
            terms=wanted.terms,
            created_after=wanted.created.after,
            created_before=wanted.created.before,
            show_deleted=request.show_deleted,
            order=order,
            after=after,
            after_value=None if isinstance(value, str) else value,
            limit=size + 1,
        )
        found = await self._store.list_jobs(query)
        page, more = found[:size], len(found) > size
        return JobPage(
            jobs=await self._listed(page, request),
            next_page_token=make_token(listing, page[-1].id, _ordered_by(page[-1], order))
            if more
            else "",
            total_size=await self._store.count_jobs(query) if request.with_total_size else None,
        )

    async def _listed(self, jobs: Sequence[JobRecord], request: ListRequest) -> Sequence[JobView]:
        if not request.wait_reasons:
            return [self._views.running(job) for job in jobs]
        return await self._views.jobs(jobs)

    async def _engine_id(self, name: str) -> str | None:
        return (await self._finder.engine(name)).id if name else None

    async def tasks(self, who: Principal, parent: str, request: ListRequest) -> TaskPage:
        """Return a page of the tasks of a job, or of all jobs, with their attempts.

        Of one job they come in the order of its plan, of all jobs newest first, unless
        the request says otherwise. Raises InvalidArgumentError, NotFoundError (the
        job, or the engine), PermissionDeniedError (the tenant).
        """
        size = page_size(request.page_size)
        wanted = task_filter(request.filter, who)
        job_id, default = None, TimeOrder.NEWEST_FIRST
        if bare(parent, "jobs") != _ALL:
            job_id = (await self._finder.job(replace(who, tenant=wanted.tenant), parent)).id
            default = TimeOrder.OLDEST_FIRST
        order = parse_order(request.order_by, TimeOrder, default)
        listing = ("tasks", wanted.tenant, job_id or _ALL, request.filter, order.value)
        after, value = read_token(request.page_token, listing)
        query = TaskQuery(
            tenant=wanted.tenant,
            job_id=job_id,
            states=wanted.states,
            profile_name=wanted.profile_name,
            engine_id=await self._engine_id(wanted.engine),
            terms=wanted.terms,
            created_after=wanted.created.after,
            created_before=wanted.created.before,
            is_descending=order is TimeOrder.NEWEST_FIRST,
            after=after,
            after_value=None if isinstance(value, datetime) else value,
            limit=size + 1,
        )
        found = await self._store.find_tasks(query)
        page, more = found[:size], len(found) > size
        return TaskPage(
            tasks=await self._views.tasks(page),
            next_page_token=make_token(listing, page[-1].id, query.place_of(page[-1]))
            if more
            else "",
            total_size=await self._store.count_tasks(query) if request.with_total_size else None,
        )

    async def watch(self, who: Principal, name: str) -> AsyncIterator[JobView]:
        """Yield a job whenever it changed: whole, at once, and to its terminal state.

        Raises UnavailableError when the server shuts down.
        """
        job_id = (await self._finder.job(who, name)).id
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


def _ordered_by(job: JobRecord, order: Order) -> SortValue:
    match order.field:
        case "priority":
            return job.priority
        case "end_time":
            return job.end_time
        case _:
            return None  # ids sort by it
