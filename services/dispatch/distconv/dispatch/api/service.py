"""DispatchService: unpack, call, pack."""

# ruff: noqa: N802, ARG002  # the contract's names, and gRPC's signature

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc.aio

from distconv.core.errors import InvalidArgumentError
from distconv.core.names import parse_id, profile_id
from distconv.core.profiles import ProfileCatalogue
from distconv.core.version import __version__
from distconv.dispatch.api import wire
from distconv.dispatch.api.client_api import ClientApi
from distconv.dispatch.api.masks import check_mask, masked, wants
from distconv.dispatch.objects.wire import ACTIONS_BACK, collected_object, media_access
from distconv.dispatch.reading.engines import EngineList
from distconv.dispatch.reading.explaining import Explainer
from distconv.dispatch.reading.finding import Finder
from distconv.dispatch.reading.jobs import ListRequest
from distconv.dispatch.steering.collecting import ObjectCollecting
from distconv.dispatch.steering.media_grants import MediaGrants
from distconv.dispatch.store.records import JobRecord
from distconv.dispatch.unserved import UNSERVED_METHODS
from distconv.rpc.auth import LocalTenantAuthenticator, principal
from distconv.rpc.convert.profile import profile
from distconv.rpc.server import Service
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import engine_pb2, job_pb2
from distconv.v1.dispatch_service_pb2_grpc import (
    DispatchServiceServicer,
    add_DispatchServiceServicer_to_server,
)

NAME = "distconv.v1.DispatchService"
# What BatchCreateJobs tells of each job unless it is asked for more.
BRIEF = ("name", "state", "profile", "create_time", "etag")


class DispatchServicer(DispatchServiceServicer):
    """Serve clients."""

    def __init__(
        self,
        api: ClientApi,
        *,
        explainer: Explainer,
        finder: Finder,
        grants: MediaGrants,
        collecting: ObjectCollecting,
        catalogue: ProfileCatalogue,
        storage_addresses: Sequence[str],
        max_source_bytes: int,
    ) -> None:
        self._jobs = api.jobs
        self._intake = api.intake
        self._control = api.control
        self._updates = api.updates
        self._engines = api.engines
        self._engine_control = api.engine_control
        self._views = api.views
        self._explainer = explainer
        self._finder = finder
        self._grants = grants
        self._collecting = collecting
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
        if request.action not in ACTIONS_BACK:
            raise InvalidArgumentError("no action is named", field="action")
        access = await self._grants.grant(
            principal(),
            ACTIONS_BACK[request.action],
            parse_id(request.object, "objects", field="object") if request.object else "",
        )
        return pb.GrantMediaAccessResponse(access=media_access(access))

    async def CollectObjects(
        self, request: pb.CollectObjectsRequest, context: Any
    ) -> pb.CollectObjectsResponse:
        """Collect what no job needs any more."""
        found = await self._collecting.collect(principal().tenant, dry_run=request.dry_run)
        return pb.CollectObjectsResponse(
            collected=map(collected_object, found), size_bytes=sum(one.size_bytes for one in found)
        )

    async def CreateJob(self, request: pb.CreateJobRequest, context: Any) -> pb.CreateJobResponse:
        """Create a job."""
        view = await self._intake.create(principal(), wire.to_order(request))
        return pb.CreateJobResponse(job=wire.job(view))

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:
        """Describe a job."""
        return pb.GetJobResponse(job=wire.job(await self._jobs.get(principal(), request.name)))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        """List jobs."""
        check_mask(request.read_mask, job_pb2.Job)
        page = await self._jobs.list(
            principal(),
            ListRequest(
                page_size=request.page_size,
                page_token=request.page_token,
                filter=request.filter,
                order_by=request.order_by,
                with_total_size=request.with_total_size,
                show_deleted=request.show_deleted,
                wait_reasons=wants(request.read_mask, "wait_reason"),
            ),
        )
        return pb.ListJobsResponse(
            jobs=masked(map(wire.job, page.jobs), request.read_mask, job_pb2.Job),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def WatchJob(
        self, request: pb.WatchJobRequest, context: Any
    ) -> AsyncIterator[pb.WatchJobResponse]:
        """Follow a job."""
        async for view in self._jobs.watch(principal(), request.name):
            yield pb.WatchJobResponse(job=wire.job(view))

    async def BatchCreateJobs(
        self, request: pb.BatchCreateJobsRequest, context: Any
    ) -> pb.BatchCreateJobsResponse:
        """Create many jobs."""
        check_mask(request.read_mask, job_pb2.Job)
        orders = wire.to_orders(request.requests)
        records = await self._intake.create_many(principal(), orders)
        mask = request.read_mask
        if set(mask.paths) <= set(BRIEF):
            made = [wire.job_in_brief(record) for record in records]
        else:
            made = [wire.job(self._views.running(record)) for record in records]
        return pb.BatchCreateJobsResponse(jobs=masked(made, mask, job_pb2.Job))

    async def UpdateJob(self, request: pb.UpdateJobRequest, context: Any) -> pb.UpdateJobResponse:
        """Change a job."""
        record = await self._updates.update(principal(), wire.to_update(request))
        return pb.UpdateJobResponse(job=await self._shown(record))

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.CancelJobResponse:
        """Cancel a job."""
        record = await self._control.cancel(principal(), request.name)
        return pb.CancelJobResponse(job=await self._shown(record))

    async def PauseJob(self, request: pb.PauseJobRequest, context: Any) -> pb.PauseJobResponse:
        """Hold a job."""
        record = await self._control.pause(principal(), request.name)
        return pb.PauseJobResponse(job=await self._shown(record))

    async def ResumeJob(self, request: pb.ResumeJobRequest, context: Any) -> pb.ResumeJobResponse:
        """Let a held job go on."""
        record = await self._control.resume(principal(), request.name)
        return pb.ResumeJobResponse(job=await self._shown(record))

    async def RetryJob(self, request: pb.RetryJobRequest, context: Any) -> pb.RetryJobResponse:
        """Start a job again."""
        record = await self._control.retry(principal(), request.name, request.request_id)
        return pb.RetryJobResponse(job=await self._shown(record))

    async def DeleteJob(self, request: pb.DeleteJobRequest, context: Any) -> pb.DeleteJobResponse:
        """Delete a job."""
        record = await self._control.delete(
            principal(), request.name, delete_output=request.delete_output
        )
        return pb.DeleteJobResponse(job=await self._shown(record))

    async def AssignJob(self, request: pb.AssignJobRequest, context: Any) -> pb.AssignJobResponse:
        """Give a job to an engine."""
        record = await self._control.assign(principal(), request.name, request.engine)
        return pb.AssignJobResponse(job=await self._shown(record))

    async def _shown(self, record: JobRecord) -> job_pb2.Job:
        return wire.job(await self._views.job(record))

    async def ExplainJob(
        self, request: pb.ExplainJobRequest, context: Any
    ) -> pb.ExplainJobResponse:
        """Say why a job waits, or why it went where it went."""
        job = await self._finder.job(principal(), request.name)
        return wire.explanation(await self._explainer.explain(job))

    async def GetJobHistory(
        self, request: pb.GetJobHistoryRequest, context: Any
    ) -> pb.GetJobHistoryResponse:
        """Tell all that happened to a job."""
        history = await self._jobs.history(principal(), request.name)
        attempts = {attempt.id: attempt for attempt in history.attempts}
        return pb.GetJobHistoryResponse(
            transitions=[wire.transition(t, attempts) for t in history.transitions],
            attempts=[wire.attempt(a) for a in history.attempts],
        )

    async def ListTasks(self, request: pb.ListTasksRequest, context: Any) -> pb.ListTasksResponse:
        """List tasks."""
        check_mask(request.read_mask, job_pb2.Task)
        page = await self._jobs.tasks(
            principal(),
            request.parent,
            ListRequest(
                page_size=request.page_size,
                page_token=request.page_token,
                filter=request.filter,
                order_by=request.order_by,
                with_total_size=request.with_total_size,
            ),
        )
        return pb.ListTasksResponse(
            tasks=masked(map(wire.task, page.tasks), request.read_mask, job_pb2.Task),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def GetEngine(self, request: pb.GetEngineRequest, context: Any) -> pb.GetEngineResponse:
        """Describe an engine."""
        return pb.GetEngineResponse(engine=wire.engine(await self._engines.get(request.name)))

    async def ListEngines(
        self, request: pb.ListEnginesRequest, context: Any
    ) -> pb.ListEnginesResponse:
        """List engines."""
        check_mask(request.read_mask, engine_pb2.Engine)
        page = await self._engines.list(
            EngineList(
                page_size=request.page_size,
                page_token=request.page_token,
                filter=request.filter,
                order_by=request.order_by,
                with_total_size=request.with_total_size,
            )
        )
        return pb.ListEnginesResponse(
            engines=masked(map(wire.engine, page.engines), request.read_mask, engine_pb2.Engine),
            next_page_token=page.next_page_token,
            total_size=page.total_size,
        )

    async def SetEngineMaintenance(
        self, request: pb.SetEngineMaintenanceRequest, context: Any
    ) -> pb.SetEngineMaintenanceResponse:
        """Take an engine out of service, or back in."""
        record = await self._engine_control.set_maintenance(
            principal(),
            request.name,
            maintenance=request.maintenance,
            release_attempts=request.release,
        )
        view = await self._views.engine(record)
        return pb.SetEngineMaintenanceResponse(engine=wire.engine(view))

    async def RevokeEngine(
        self, request: pb.RevokeEngineRequest, context: Any
    ) -> pb.RevokeEngineResponse:
        """Never let an engine connect again."""
        record = await self._engine_control.revoke(principal(), request.name)
        return pb.RevokeEngineResponse(engine=wire.engine(await self._views.engine(record)))

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


def dispatch_service(servicer: DispatchServicer) -> Service:
    """Make the service for a server."""

    def register(server: grpc.aio.Server) -> None:
        add_DispatchServiceServicer_to_server(servicer, server)

    return Service(name=NAME, authenticator=LocalTenantAuthenticator(), register=register)
