"""What the SDK does with jobs."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta

from google.protobuf.field_mask_pb2 import FieldMask

from distconv.client.calls import Calls
from distconv.client.convert.job import to_explanation, to_history, to_job, to_task
from distconv.client.job import Explanation, Job, JobHistory, JobPage, Task
from distconv.client.new_job import NewJob, batches
from distconv.client.stored import StoredObject
from distconv.client.watch import watch
from distconv.core.errors import DistconvError
from distconv.core.names import bare, job_name
from distconv.core.profile import Container, Profile
from distconv.core.transfer import TransferMode
from distconv.v1 import dispatch_service_pb2 as dispatch

# Ten thousand jobs take about two seconds; a busy database may take its time.
_BATCH_TIMEOUT_S = 120.0
_PAGE = 1000


class JobCalls(Calls):
    """Create, show, list, follow and explain jobs.

    `name` is always `jobs/{id}` or an id; either may be shortened to what only
    one job of the tenant begins with. NotFoundError: no job begins so, or
    several do.
    """

    async def create_job(
        self,
        *,
        source: StoredObject | str,
        profile: str | Profile,
        file_name: str = "",
        container: Container | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        deadline: datetime | None = None,
        ttl: timedelta | None = None,
        max_retries: int | None = None,
        engine_tags: Sequence[str] = (),
        transfer_mode: TransferMode | None = None,
        request_id: str = "",
    ) -> Job:
        """Create a job on an uploaded source and return it; see NewJob for the values.

        Idempotent by `request_id`. Raises UnknownProfileError, InvalidProfileError,
        NotFoundError (the source), InvalidArgumentError, FailedPreconditionError
        (the source is not wholly uploaded).
        """
        new = NewJob(
            source=source,
            profile=profile,
            file_name=file_name,
            container=container,
            priority=priority,
            deadline=deadline,
            ttl=ttl,
            max_retries=max_retries,
            labels=labels or {},
            engine_tags=tuple(engine_tags),
            transfer_mode=transfer_mode,
            request_id=request_id,
        )
        return await self.create_new_job(new)

    async def create_new_job(self, new: NewJob) -> Job:
        """Create a job as it is written down; see `create_job`."""
        connection = self._connection
        response = await connection.persistently(connection.dispatch.CreateJob, new.request())
        return to_job(response.job)

    async def create_jobs(self, jobs: Iterable[NewJob]) -> AsyncGenerator[str, None]:
        """Create many jobs and yield their names, in the order of `jobs`.

        They go in as few calls as their number (10,000 a call) and size allow;
        each call creates all of its jobs or none, and what was yielded before an
        error exists. Raises what `create_job` raises; `field` and the message
        count from the first of `jobs`: `requests[12345].job.priority`.
        """
        connection, done = self._connection, 0
        for requests in batches(jobs):
            try:
                response = await connection.persistently(
                    connection.dispatch.BatchCreateJobs,
                    dispatch.BatchCreateJobsRequest(
                        requests=requests, read_mask=FieldMask(paths=["name"])
                    ),
                    timeout_s=_BATCH_TIMEOUT_S,
                )
            except DistconvError as error:
                raise _counted_from(error, done) from error
            for job in response.jobs:
                yield job.name
            done += len(requests)

    async def get_job(self, name: str) -> Job:
        """Return a job. Raises NotFoundError."""
        connection = self._connection
        response = await connection.once(
            connection.dispatch.GetJob, dispatch.GetJobRequest(name=_job_name(name))
        )
        return to_job(response.job)

    async def list_jobs_page(
        self,
        *,
        filter: str = "",  # noqa: A002  # the contract's word
        order_by: str = "",
        page_size: int = 0,
        page_token: str = "",
        with_total_size: bool = False,
        show_deleted: bool = False,
        fields: Sequence[str] = (),
    ) -> JobPage:
        """Return one page of jobs; 0 for `page_size` leaves it to the server (50).

        `fields` are the fields of the contract's Job that are wanted beside
        `name` and `state`; none: all. Raises InvalidArgumentError.
        """
        connection = self._connection
        mask = FieldMask(paths=["name", "state", *fields]) if fields else None
        response = await connection.once(
            connection.dispatch.ListJobs,
            dispatch.ListJobsRequest(
                filter=filter,
                order_by=order_by,
                page_size=page_size,
                page_token=page_token,
                with_total_size=with_total_size,
                show_deleted=show_deleted,
                read_mask=mask,
            ),
        )
        return JobPage(
            jobs=tuple(to_job(job) for job in response.jobs),
            next_page_token=response.next_page_token,
            total_size=response.total_size if response.HasField("total_size") else None,
        )

    async def list_jobs(
        self,
        *,
        filter: str = "",  # noqa: A002
        order_by: str = "",
        page_size: int = 0,
        show_deleted: bool = False,
        fields: Sequence[str] = (),
    ) -> AsyncGenerator[Job, None]:
        """Yield jobs, newest first unless `order_by` says otherwise, fetching pages as needed.

        `filter` is the contract's: `state = FAILED AND labels.show = "Big one"`;
        `order_by` is `create_time`, `priority` or `end_time`, `desc` behind it
        for the highest first.
        """
        token = ""
        while True:
            page = await self.list_jobs_page(
                filter=filter,
                order_by=order_by,
                page_size=page_size,
                page_token=token,
                show_deleted=show_deleted,
                fields=fields,
            )
            for job in page.jobs:
                yield job
            token = page.next_page_token
            if not token:
                return

    async def watch_job(self, name: str) -> AsyncGenerator[Job, None]:
        """Yield snapshots of a job: the first at once, the last in a terminal state.

        After a break it attaches again by itself. Raises NotFoundError.
        """
        async with aclosing(watch(self._connection, _job_name(name))) as snapshots:
            async for job in snapshots:
                yield job

    async def explain_job(self, name: str) -> Explanation:
        """Say why a job waits, or why it went where it went. Raises NotFoundError."""
        connection = self._connection
        response = await connection.once(
            connection.dispatch.ExplainJob, dispatch.ExplainJobRequest(name=_job_name(name))
        )
        return to_explanation(response)

    async def job_history(self, name: str) -> JobHistory:
        """Return every move of a job and every attempt at it. Raises NotFoundError."""
        connection = self._connection
        response = await connection.once(
            connection.dispatch.GetJobHistory, dispatch.GetJobHistoryRequest(name=_job_name(name))
        )
        return to_history(response)

    async def list_tasks(self, job: str) -> tuple[Task, ...]:
        """Return a job's tasks, in the order of its plan, with the history of their attempts."""
        return tuple([task async for task in self._tasks(_job_name(job), "", "", _PAGE)])

    async def list_all_tasks(
        self,
        *,
        filter: str = "",  # noqa: A002
        order_by: str = "",
        page_size: int = 0,
    ) -> AsyncGenerator[Task, None]:
        """Yield the tasks of all jobs, newest first, fetching pages as needed.

        `filter` joins `state = LEASED`, `engine = engines/ID`, and what `list_jobs` takes of
        jobs (profile, labels, times, words) by AND; `order_by` is `create_time desc` (the
        default) or `create_time`.
        """
        async for task in self._tasks("jobs/-", filter, order_by, page_size):
            yield task

    async def _tasks(
        self, parent: str, condition: str, order_by: str, page_size: int
    ) -> AsyncIterator[Task]:
        connection, token = self._connection, ""
        while True:
            response = await connection.once(
                connection.dispatch.ListTasks,
                dispatch.ListTasksRequest(
                    parent=parent,
                    filter=condition,
                    order_by=order_by,
                    page_size=page_size,
                    page_token=token,
                ),
            )
            for task in response.tasks:
                yield to_task(task)
            token = response.next_page_token
            if not token:
                return


def _job_name(name: str) -> str:
    return job_name(bare(name, "jobs"))


def _counted_from(error: DistconvError, start: int) -> DistconvError:
    """Return the error with the index of its request counted over all calls."""
    named = error.metadata.get("field", "")
    head, bracket, tail = named.partition("requests[")
    index, closing, rest = tail.partition("]")
    if not start or head or not bracket or not closing or not index.isdecimal():
        return error
    field = f"requests[{int(index) + start}]{rest}"
    return type(error)(
        error.message.replace(named, field), metadata={**error.metadata, "field": field}
    )
