"""The SDK's front door."""

import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from distconv.client.access import ObjectAccess
from distconv.client.connection import Connection
from distconv.client.convert.engine import to_engine, to_server_info
from distconv.client.convert.job import to_job, to_task
from distconv.client.download import download
from distconv.client.engine import Engine
from distconv.client.job import Job, JobPage, Task
from distconv.client.local import sendable_name
from distconv.client.partial import PartialFile
from distconv.client.patience import Break
from distconv.client.server import ServerInfo
from distconv.client.source import SourceFile
from distconv.client.stored import StoredObject, Transfer
from distconv.client.transcode import TranscodeResult, Transcoding
from distconv.client.upload import upload
from distconv.client.watch import watch
from distconv.core.names import bare, engine_name, job_name, profile_name
from distconv.core.profile import Container, Profile
from distconv.rpc.channel import UNARY_TIMEOUT_S
from distconv.rpc.convert.profile import container as container_number
from distconv.rpc.convert.profile import profile as profile_message
from distconv.rpc.convert.profile import to_profile
from distconv.rpc.convert.times import duration
from distconv.v1 import dispatch_service_pb2 as dispatch
from distconv.v1 import job_pb2, object_pb2
from distconv.v1 import storage_service_pb2 as storage

DEFAULT_ADDRESS = "127.0.0.1:7400"
DEFAULT_RECONNECT = timedelta(seconds=60)


class Client:
    """Talks to distconv: to one server, or to any of several replicas.

    Use it as an async context manager:

        async with Client("127.0.0.1:7400") as client:
            result = await client.transcode(Path("a.mov"), Path("a.mp4"), profile="h264-720p")

    Every method raises the errors of `distconv.core.errors`: UnavailableError
    when no server answers, UnauthenticatedError and PermissionDeniedError when
    it refuses, DeadlineExceededError when it takes too long. A server that has
    answered once may be gone for `reconnect` before work under way is given
    up; `on_break` is told of each break. Uploads, downloads and watches go on
    where they broke off.
    """

    def __init__(
        self,
        address: str | Sequence[str] = DEFAULT_ADDRESS,
        *,
        reconnect: timedelta = DEFAULT_RECONNECT,
        on_break: Callable[[Break], None] | None = None,
        tenant: str = "",
    ) -> None:
        """Take the server's address, and the tenant to act for; empty: one's own.

        An address is `host:port`. Those of replicas are a list, or one text that
        separates them by commas: the client stays with one that answers and goes
        on to the next when that is away; watches move by themselves.
        """
        self.address = address if isinstance(address, str) else ",".join(address)
        self._tenant = tenant
        self._reconnect = reconnect
        self._on_break = on_break
        self._opened: Connection | None = None

    async def __aenter__(self) -> Self:
        self._opened = Connection(
            self.address,
            reconnect=self._reconnect,
            on_break=self._on_break,
            tenant=self._tenant,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._connection.close()
        self._opened = None

    @property
    def _connection(self) -> Connection:
        if self._opened is None:
            raise RuntimeError("use the client as `async with Client(address) as client:`")
        return self._opened

    # --- the server ------------------------------------------------------------------------

    async def server_info(self, *, timeout_s: float = UNARY_TIMEOUT_S) -> ServerInfo:
        """Ask the server what it is."""
        connection = self._connection
        return to_server_info(
            await connection.once(
                connection.dispatch.GetServerInfo,
                dispatch.GetServerInfoRequest(),
                timeout_s=timeout_s,
            )
        )

    # --- jobs ------------------------------------------------------------------------------

    async def create_job(
        self,
        *,
        source: StoredObject | str,
        profile: str | Profile,
        file_name: str = "",
        container: Container | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        ttl: timedelta | None = None,
        max_retries: int | None = None,
        request_id: str = "",
    ) -> Job:
        """Create a job on an uploaded source and return it.

        `profile` is a name that the server knows, or a profile of one's own;
        `container` None takes the profile's. `priority` is -100..100, higher
        first. The call is idempotent: `request_id`, made up when empty, names
        it. Raises UnknownProfileError, InvalidProfileError, NotFoundError (the
        source), InvalidArgumentError.
        """
        connection = self._connection
        source_name = source if isinstance(source, str) else source.name
        job = job_pb2.Job(
            source=job_pb2.JobSource(
                object=source_name,
                # For people alone: a source without a name of its own shows its id.
                file_name=sendable_name(file_name) or source_name.rpartition("/")[2],
            ),
            priority=priority,
            labels=labels or {},
            ttl=duration(ttl),
            max_retries=max_retries,
        )
        if isinstance(profile, Profile):
            job.profile_spec.CopyFrom(profile_message(profile))
        else:
            job.profile = profile_name(bare(profile, "profiles"))
        request = dispatch.CreateJobRequest(
            job=job,
            container=container_number(container),
            request_id=request_id or secrets.token_hex(16),
        )
        response = await connection.persistently(connection.dispatch.CreateJob, request)
        return to_job(response.job)

    async def get_job(self, name: str) -> Job:
        """Return a job. `name` is `jobs/{id}` or an id; either may be shortened.

        Raises NotFoundError when no job, or more than one, begins so.
        """
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
    ) -> JobPage:
        """Return one page of jobs; 0 for `page_size` leaves it to the server (50)."""
        connection = self._connection
        response = await connection.once(
            connection.dispatch.ListJobs,
            dispatch.ListJobsRequest(
                filter=filter,
                order_by=order_by,
                page_size=page_size,
                page_token=page_token,
                with_total_size=with_total_size,
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
    ) -> AsyncGenerator[Job, None]:
        """Yield jobs, newest first unless `order_by` is `create_time`, fetching pages as needed.

        `filter` is the contract's: `state = FAILED AND profile = profiles/h264-720p`.
        """
        token = ""
        while True:
            page = await self.list_jobs_page(
                filter=filter, order_by=order_by, page_size=page_size, page_token=token
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

    async def cancel_job(self, name: str, *, timeout_s: float = UNARY_TIMEOUT_S) -> Job:
        """Cancel a job and return it. Idempotent.

        Raises NotFoundError, and FailedPreconditionError when it has completed or failed.
        """
        connection = self._connection
        response = await connection.once(
            connection.dispatch.CancelJob,
            dispatch.CancelJobRequest(name=_job_name(name)),
            timeout_s=timeout_s,
        )
        return to_job(response.job)

    async def list_tasks(self, job: str) -> tuple[Task, ...]:
        """Return a job's tasks with the history of their attempts."""
        connection = self._connection
        response = await connection.once(
            connection.dispatch.ListTasks, dispatch.ListTasksRequest(parent=_job_name(job))
        )
        return tuple(to_task(task) for task in response.tasks)

    # --- engines and profiles --------------------------------------------------------------

    async def get_engine(self, name: str) -> Engine:
        """Return an engine. `name` is `engines/{id}` or an id; either may be shortened."""
        connection = self._connection
        response = await connection.once(
            connection.dispatch.GetEngine,
            dispatch.GetEngineRequest(name=engine_name(bare(name, "engines"))),
        )
        return to_engine(response.engine)

    async def list_engines(
        self,
        *,
        filter: str = "",  # noqa: A002
        page_size: int = 0,
    ) -> AsyncGenerator[Engine, None]:
        """Yield engines, fetching pages as needed; `filter` as in `state = ONLINE`."""
        connection = self._connection
        token = ""
        while True:
            response = await connection.once(
                connection.dispatch.ListEngines,
                dispatch.ListEnginesRequest(filter=filter, page_size=page_size, page_token=token),
            )
            for engine in response.engines:
                yield to_engine(engine)
            token = response.next_page_token
            if not token:
                return

    async def get_profile(self, name: str) -> Profile:
        """Return a profile. Raises UnknownProfileError, which names those that are near."""
        connection = self._connection
        response = await connection.once(
            connection.dispatch.GetProfile,
            dispatch.GetProfileRequest(name=profile_name(bare(name, "profiles"))),
        )
        return to_profile(response.profile)

    async def list_profiles(self) -> tuple[Profile, ...]:
        """Return the profiles that jobs may name, by name."""
        connection = self._connection
        response = await connection.once(
            connection.dispatch.ListProfiles, dispatch.ListProfilesRequest()
        )
        return tuple(to_profile(profile) for profile in response.profiles)

    # --- media -----------------------------------------------------------------------------

    async def upload(
        self,
        source: Path | BinaryIO,
        *,
        on_progress: Callable[[Transfer], None] | None = None,
    ) -> StoredObject:
        """Upload a file, or an open seekable binary file, as a new object.

        Breaks are mended: only what has not arrived is sent again. Raises
        InvalidArgumentError (field `source`), CorruptSourceError (empty),
        ResourceExhaustedError (no room at storage), DataLossError.
        """
        with SourceFile.open(source) as file:
            return await upload(self._connection, file, on_progress)

    async def download(
        self,
        object_name: str,
        path: Path,
        *,
        overwrite: bool = False,
        on_progress: Callable[[Transfer], None] | None = None,
    ) -> StoredObject:
        """Fetch an object into `path`, which appears whole and checked, or not at all.

        Breaks are mended. Raises AlreadyExistsError (unless `overwrite`),
        DiskFullError, NotFoundError, DataLossError.
        """
        async with PartialFile(path, overwrite=overwrite) as target:
            return await download(self._connection, object_name, target, on_progress)

    async def delete_object(self, name: str, *, timeout_s: float = UNARY_TIMEOUT_S) -> None:
        """Delete an object; one that is not there counts as deleted."""
        connection = self._connection
        access = await ObjectAccess.grant(connection, object_pb2.MEDIA_ACTION_DELETE, name)
        await connection.once(
            access.stub.DeleteObject,
            storage.DeleteObjectRequest(name=name),
            timeout_s=timeout_s,
            metadata=access.metadata,
            address=access.address,
        )

    async def transcode(
        self,
        source: Path,
        output: Path,
        *,
        profile: str | Profile,
        container: Container | None = None,
        overwrite: bool = False,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        keep: bool = False,
        on_progress: Callable[[Transfer | Job], None] | None = None,
    ) -> TranscodeResult:
        """Upload `source`, create a job, follow it, and download its result to `output`.

        `on_progress` is told of every step. When this is cancelled, the job is
        cancelled too. The stored source and result are deleted afterwards
        unless `keep`; a result that could not be downloaded stays.

        Raises JobFailedError, JobCancelledError, and what `upload`,
        `create_job` and `download` raise; what is wrong with the files here is
        found before anything is sent.
        """
        return await Transcoding(self, keep=keep, on_progress=on_progress or (lambda _: None)).run(
            source,
            output,
            profile=profile,
            container=container,
            overwrite=overwrite,
            priority=priority,
            labels=labels,
        )


def _job_name(name: str) -> str:
    return job_name(bare(name, "jobs"))
