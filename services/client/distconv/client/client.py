"""The SDK's front door."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from distconv.client.connection import Connection
from distconv.client.convert.engine import to_server_info
from distconv.client.download import download
from distconv.client.engine_calls import EngineCalls
from distconv.client.event_calls import EventCalls
from distconv.client.followed import FollowedFile
from distconv.client.job import Job
from distconv.client.job_calls import JobCalls
from distconv.client.job_steering import JobSteering
from distconv.client.local import sendable_name
from distconv.client.new_job import NewJob
from distconv.client.object_calls import ObjectCalls
from distconv.client.partial import PartialFile
from distconv.client.patience import Break
from distconv.client.remembered import RememberedUpload
from distconv.client.server import ServerInfo
from distconv.client.source import SourceFile
from distconv.client.stored import StoredObject, Transfer
from distconv.client.transcode import TranscodeResult, Transcoding
from distconv.client.upload import Called, Upload, opened, upload
from distconv.core.names import bare
from distconv.core.profile import Container, Profile
from distconv.core.transfer import TransferMode
from distconv.rpc.channel import UNARY_TIMEOUT_S
from distconv.rpc.tls import load_ca
from distconv.v1 import dispatch_service_pb2 as dispatch

DEFAULT_ADDRESS = "127.0.0.1:7400"
DEFAULT_RECONNECT = timedelta(seconds=60)


class Client(JobCalls, JobSteering, EngineCalls, EventCalls, ObjectCalls):
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
        tls_ca: Path | None = None,
        known_as: str = "",
    ) -> None:
        """Take the server's address, and the tenant to act for; empty: one's own.

        `tls_ca` is a file of certificates, PEM, one of which signed those of dispatch and
        storage; without it all is sent in the clear.

        An address is `host:port`. Those of replicas are a list, or one text that
        separates them by commas: the client stays with one that answers and goes
        on to the next when that is away; watches move by themselves.

        `known_as` is what unfinished work is remembered by, for a server whose address is
        another each time; empty: the address.
        """
        super().__init__()
        self.address = address if isinstance(address, str) else ",".join(address)
        self.known_as = known_as or self.address
        self._tenant = tenant
        self._tls_ca = tls_ca
        self._reconnect = reconnect
        self._on_break = on_break

    async def __aenter__(self) -> Self:
        self._opened = Connection(
            self.address,
            reconnect=self._reconnect,
            on_break=self._on_break,
            tenant=self._tenant,
            tls_ca=load_ca(self._tls_ca),
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

    # --- media -----------------------------------------------------------------------------

    async def upload(
        self,
        source: Path | BinaryIO,
        *,
        file_name: str = "",
        labels: Mapping[str, str] | None = None,
        resume: bool = False,
        on_progress: Callable[[Transfer], None] | None = None,
    ) -> StoredObject:
        """Upload a file, or an open seekable binary file, as a new object.

        `file_name` is what to call it, its own name by default; `labels` are your
        own words: both are shown and searched for.

        Breaks are mended: only what has not arrived is sent again. With `resume`
        what came of a path is kept at storage when this ends early, whatever ends
        it, and the next such call goes on there. Raises
        InvalidArgumentError (field `source`), CorruptSourceError (empty),
        ResourceExhaustedError (no room at storage), DataLossError.
        """
        with SourceFile.open(source) as file:
            called = Called(file_name=sendable_name(file_name or file.name), labels=labels or {})
            if not (resume and isinstance(source, Path)):
                return await upload(self._connection, file, called, on_progress)
            with RememberedUpload.of(
                source,
                server=self.known_as,
                tenant=self._tenant,
                file_name=called.file_name,
                labels=dict(called.labels),
            ) as memory:
                return await upload(self._connection, file, called, on_progress, memory)

    @asynccontextmanager
    async def open_upload(
        self,
        source: Path,
        *,
        object_name: str = "",
        file_name: str = "",
        labels: Mapping[str, str] | None = None,
        on_progress: Callable[[Transfer], None] | None = None,
    ) -> AsyncIterator[Upload]:
        """Open an upload and send nothing yet: `upload.send()` does, and returns the object.

        A job may be created on `upload.object` meanwhile; engines read what has
        arrived. With the `object_name` of one that was begun it goes on with that.
        Left with an error the upload is given up. Raises what `upload` does.
        """
        with SourceFile.open(source) as file:
            called = Called(file_name=sendable_name(file_name or file.name), labels=labels or {})
            async with opened(
                self._connection, file, called, on_progress, object_name=object_name
            ) as sending:
                yield sending

    async def follow_download(
        self,
        object_name: str,
        path: Path,
        *,
        overwrite: bool = False,
        on_progress: Callable[[Transfer], None] | None = None,
    ) -> StoredObject:
        """Fetch an object into `path` while it is still being uploaded, or afterwards.

        `path` appears whole and checked once the object is committed, or not at
        all. Of an object that storage finished, only what was not followed is
        fetched then. Raises UploadFailedError, and what `download` does.
        """
        async with self.followed(
            object_name, path, overwrite=overwrite, on_progress=on_progress
        ) as followed:
            return await followed.place(await followed.follow())

    def followed(
        self,
        object_name: str,
        path: Path,
        *,
        overwrite: bool = False,
        resume: bool = False,
        on_progress: Callable[[Transfer], None] | None = None,
    ) -> FollowedFile:
        """Return an object to be followed, for whoever decides later whether to place it.

        With `resume` what is not in its place when this ends stays beside it, for the next.
        """
        return FollowedFile(
            self._connection,
            object_name,
            path,
            overwrite=overwrite,
            resume=resume,
            on_progress=on_progress,
        )

    async def download(
        self,
        object_name: str,
        path: Path,
        *,
        overwrite: bool = False,
        resume: bool = False,
        on_progress: Callable[[Transfer], None] | None = None,
    ) -> StoredObject:
        """Fetch an object into `path`, which appears whole and checked, or not at all.

        Breaks are mended. With `resume` what came is kept beside it when this ends
        early, whatever ends it, and the next such call goes on there. Raises
        AlreadyExistsError (unless `overwrite`; or another fetches it there now),
        DiskFullError, NotFoundError, DataLossError.
        """
        key = bare(object_name, "objects") if resume else ""
        async with PartialFile(path, overwrite=overwrite, resume_key=key) as target:
            return await download(self._connection, object_name, target, on_progress)

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
        transfer_mode: TransferMode | None = None,
        keep: bool = False,
        overlap: bool = True,
        resume: bool = False,
        on_progress: Callable[[Transfer | Job], None] | None = None,
        on_note: Callable[[str], None] | None = None,
    ) -> TranscodeResult:
        """Upload `source`, encode it in a job, and download the result to `output`.

        All three go on at once, so that the whole takes about as long as its
        slowest part; without `overlap` each begins when the one before has ended.
        `transfer_mode` is how media travels to the engine: by FILE the encode begins
        once the whole source is there. `on_progress` is told of every step,
        `on_note` in a sentence of what is out of the ordinary. When this is
        cancelled, the job is cancelled too. The stored source and result are deleted
        afterwards unless `keep`; a result that could not be downloaded stays, and so
        does a source that was stored before.

        With `resume` the next such call of the same user on this machine within a
        day goes on with the job when this ends early without having ended it
        (killed, or the server is away), or fetches its result.

        Raises JobFailedError, JobCancelledError, and what `upload`,
        `create_job` and `download` raise; what is wrong with the files here is
        found before anything is sent.
        """
        transcoding = Transcoding(
            self,
            keep=keep,
            overlap=overlap,
            on_progress=on_progress or (lambda _: None),
            on_note=on_note or (lambda _: None),
        )
        order = NewJob(
            source="",
            profile=profile,
            file_name=source.name,
            container=container,
            priority=priority,
            labels=labels or {},
            transfer_mode=transfer_mode,
        )
        where = {"server": self.known_as, "tenant": self._tenant} if resume else None
        return await transcoding.run(source, output, order, overwrite=overwrite, where=where)
