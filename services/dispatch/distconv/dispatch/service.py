"""DispatchService: unpack, call, pack."""

# ruff: noqa: N802, ARG002  # the contract's names, and gRPC's signature

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc.aio
from google.protobuf import field_mask_pb2

from distconv.core.errors import InvalidArgumentError
from distconv.core.names import parse_id
from distconv.core.profiles import ProfileCatalogue
from distconv.core.version import __version__
from distconv.dispatch import wire
from distconv.dispatch.engines import Engines
from distconv.dispatch.jobs import Jobs, ListRequest
from distconv.dispatch.media_access import MediaGrants
from distconv.dispatch.unserved import UNSERVED_METHODS, unserved
from distconv.dispatch.validation import profile_id
from distconv.rpc.auth import LocalTenantAuthenticator, principal
from distconv.rpc.convert.profile import profile
from distconv.rpc.server import Service
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import job_pb2
from distconv.v1.dispatch_service_pb2_grpc import (
    DispatchServiceServicer,
    add_DispatchServiceServicer_to_server,
)

NAME = "distconv.v1.DispatchService"


class DispatchServicer(DispatchServiceServicer):
    """Serve clients."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        engines: Engines,
        grants: MediaGrants,
        catalogue: ProfileCatalogue,
        storage_addresses: Sequence[str],
        max_source_bytes: int,
    ) -> None:
        self._jobs = jobs
        self._engines = engines
        self._grants = grants
        self._catalogue = catalogue
        self._storage_addresses = tuple(storage_addresses)
        self._max_source_bytes = max_source_bytes

    async def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: Any
    ) -> pb.GetServerInfoResponse:
        """Say what the server is."""
        return pb.GetServerInfoResponse(
            version=__version__,
            storage_addresses=self._storage_addresses,
            unimplemented_methods=UNSERVED_METHODS,
            max_source_bytes=self._max_source_bytes,
            online_engine_count=await self._engines.count_online(),
        )

    async def GrantMediaAccess(
        self, request: pb.GrantMediaAccessRequest, context: Any
    ) -> pb.GrantMediaAccessResponse:
        """Give signed access to an object."""
        if request.action not in wire.ACTIONS_BACK:
            raise InvalidArgumentError("no action is named", field="action")
        access = await self._grants.grant(
            principal(),
            wire.ACTIONS_BACK[request.action],
            parse_id(request.object, "objects", field="object") if request.object else "",
        )
        return pb.GrantMediaAccessResponse(access=wire.media_access(access))

    async def CreateJob(self, request: pb.CreateJobRequest, context: Any) -> pb.CreateJobResponse:
        """Create a job."""
        view = await self._jobs.create(principal(), wire.to_order(request))
        return pb.CreateJobResponse(job=wire.job(view))

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:
        """Describe a job."""
        return pb.GetJobResponse(job=wire.job(await self._jobs.get(principal(), request.name)))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        """List jobs."""
        page = await self._jobs.list(
            principal(),
            ListRequest(
                page_size=request.page_size,
                page_token=request.page_token,
                filter=request.filter,
                order_by=request.order_by,
                with_total_size=request.with_total_size,
            ),
        )
        mask = request.read_mask if request.HasField("read_mask") else None
        return pb.ListJobsResponse(
            jobs=_masked([wire.job(view) for view in page.jobs], mask),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def WatchJob(
        self, request: pb.WatchJobRequest, context: Any
    ) -> AsyncIterator[pb.WatchJobResponse]:
        """Follow a job."""
        async for view in self._jobs.watch(principal(), request.name):
            yield pb.WatchJobResponse(job=wire.job(view))

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.CancelJobResponse:
        """Cancel a job."""
        view = await self._jobs.cancel(principal(), request.name)
        return pb.CancelJobResponse(job=wire.job(view))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Any) -> pb.ListTasksResponse:
        """List a job's tasks."""
        _, tasks = await self._jobs.tasks(principal(), request.parent)
        return pb.ListTasksResponse(tasks=[wire.task(view) for view in tasks])

    async def GetEngine(self, request: pb.GetEngineRequest, context: Any) -> pb.GetEngineResponse:
        """Describe an engine."""
        view = await self._engines.get(principal(), request.name)
        return pb.GetEngineResponse(engine=wire.engine(view))

    async def ListEngines(
        self, request: pb.ListEnginesRequest, context: Any
    ) -> pb.ListEnginesResponse:
        """List engines."""
        page = await self._engines.list(
            principal(),
            size=request.page_size,
            token=request.page_token,
            filter_text=request.filter,
        )
        return pb.ListEnginesResponse(
            engines=[wire.engine(view) for view in page.engines],
            next_page_token=page.next_page_token,
        )

    async def GetProfile(
        self, request: pb.GetProfileRequest, context: Any
    ) -> pb.GetProfileResponse:
        """Describe a profile."""
        return pb.GetProfileResponse(profile=profile(self._catalogue.get(profile_id(request.name))))

    async def ListProfiles(
        self, request: pb.ListProfilesRequest, context: Any
    ) -> pb.ListProfilesResponse:
        """List the profiles."""
        return pb.ListProfilesResponse(profiles=[profile(p) for p in self._catalogue])

    # --- not served yet, see `unserved` --------------------------------------------------------

    async def BatchCreateJobs(
        self, request: pb.BatchCreateJobsRequest, context: Any
    ) -> pb.BatchCreateJobsResponse:
        """Refuse."""
        raise unserved("BatchCreateJobs")

    async def UpdateJob(self, request: pb.UpdateJobRequest, context: Any) -> pb.UpdateJobResponse:
        """Refuse."""
        raise unserved("UpdateJob")

    async def PauseJob(self, request: pb.PauseJobRequest, context: Any) -> pb.PauseJobResponse:
        """Refuse."""
        raise unserved("PauseJob")

    async def ResumeJob(self, request: pb.ResumeJobRequest, context: Any) -> pb.ResumeJobResponse:
        """Refuse."""
        raise unserved("ResumeJob")

    async def RetryJob(self, request: pb.RetryJobRequest, context: Any) -> pb.RetryJobResponse:
        """Refuse."""
        raise unserved("RetryJob")

    async def DeleteJob(self, request: pb.DeleteJobRequest, context: Any) -> pb.DeleteJobResponse:
        """Refuse."""
        raise unserved("DeleteJob")

    async def AssignJob(self, request: pb.AssignJobRequest, context: Any) -> pb.AssignJobResponse:
        """Refuse."""
        raise unserved("AssignJob")

    async def ExplainJob(
        self, request: pb.ExplainJobRequest, context: Any
    ) -> pb.ExplainJobResponse:
        """Refuse."""
        raise unserved("ExplainJob")

    async def GetJobHistory(
        self, request: pb.GetJobHistoryRequest, context: Any
    ) -> pb.GetJobHistoryResponse:
        """Refuse."""
        raise unserved("GetJobHistory")

    async def SetEngineMaintenance(
        self, request: pb.SetEngineMaintenanceRequest, context: Any
    ) -> pb.SetEngineMaintenanceResponse:
        """Refuse."""
        raise unserved("SetEngineMaintenance")

    async def RevokeEngine(
        self, request: pb.RevokeEngineRequest, context: Any
    ) -> pb.RevokeEngineResponse:
        """Refuse."""
        raise unserved("RevokeEngine")


def _masked(jobs: list[job_pb2.Job], mask: field_mask_pb2.FieldMask | None) -> list[job_pb2.Job]:
    if mask is None or not mask.paths:
        return jobs
    if not mask.IsValidForDescriptor(job_pb2.Job.DESCRIPTOR):
        raise InvalidArgumentError(
            f"read_mask names a field that a job has not: {', '.join(mask.paths)[:200]}",
            field="read_mask",
        )
    masked = []
    for job in jobs:
        kept = job_pb2.Job()
        mask.MergeMessage(job, kept)
        masked.append(kept)
    return masked


def dispatch_service(servicer: DispatchServicer) -> Service:
    """Make the service for a server."""

    def register(server: grpc.aio.Server) -> None:
        add_DispatchServiceServicer_to_server(servicer, server)

    return Service(name=NAME, authenticator=LocalTenantAuthenticator(), register=register)
