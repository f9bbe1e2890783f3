"""The fake's DispatchService."""
# ruff: noqa: D102, N802, ARG002  # the contract names and describes these methods

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc.aio

from distconv.client.testing.state import FakeState, now
from distconv.client.testing.steering import TERMINAL, FakeSteering
from distconv.core.errors import (
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)
from distconv.core.ids import new_id
from distconv.core.names import bare, job_name, object_name
from distconv.core.profiles import ProfileCatalogue, load_catalogue
from distconv.core.version import __version__
from distconv.rpc.convert.profile import profile
from distconv.rpc.convert.times import timestamp
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import job_pb2, object_pb2

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]


class FakeDispatch(FakeSteering):
    """Serve the control plane from a FakeState."""

    def __init__(self, state: FakeState) -> None:
        super().__init__(state)
        self._catalogue: ProfileCatalogue = load_catalogue()
        self._running: set[asyncio.Task[None]] = set()

    async def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: Context
    ) -> pb.GetServerInfoResponse:
        return pb.GetServerInfoResponse(
            version=__version__, online_engine_count=len(self._state.engines)
        )

    async def GrantMediaAccess(
        self, request: pb.GrantMediaAccessRequest, context: Context
    ) -> pb.GrantMediaAccessResponse:
        name = request.object or object_name(new_id(now()))
        if request.action == object_pb2.MEDIA_ACTION_READ and name not in self._state.objects:
            raise NotFoundError(f"no object is named '{name}'")
        access = object_pb2.MediaAccess(object=name, action=request.action, token=name)
        return pb.GrantMediaAccessResponse(access=access)

    async def CreateJob(
        self, request: pb.CreateJobRequest, context: Context
    ) -> pb.CreateJobResponse:
        made = self._state.request_ids.get(request.request_id)
        if made is not None:
            return pb.CreateJobResponse(job=self._state.jobs[made])
        job = job_pb2.Job()
        job.CopyFrom(request.job)
        if not job.HasField("profile_spec"):
            job.profile_spec.CopyFrom(profile(self._catalogue.get(bare(job.profile, "profiles"))))
        job.name = job_name(new_id(now()))
        job.state = job_pb2.JOB_STATE_PENDING
        job.etag = "1"
        job.create_time.CopyFrom(timestamp(now()) or job.create_time)
        job.source.size_bytes = self._state.size_of(job.source.object)
        self._state.jobs[job.name] = job
        self._state.request_ids[request.request_id] = job.name
        if self._state.held:
            job.wait_reason = self._state.wait_reason
        else:
            task = asyncio.ensure_future(self._state.run(job.name))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return pb.CreateJobResponse(job=job)

    async def BatchCreateJobs(
        self, request: pb.BatchCreateJobsRequest, context: Context
    ) -> pb.BatchCreateJobsResponse:
        made = [(await self.CreateJob(one, context)).job for one in request.requests]
        return pb.BatchCreateJobsResponse(jobs=made)

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        return pb.GetJobResponse(job=self.find(request.name))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        wanted = request.filter.removeprefix("state = ")
        found = [
            job
            for job in reversed(self._state.jobs.values())
            if not wanted or job_pb2.JobState.Name(job.state) == f"JOB_STATE_{wanted}"
        ]
        start, size = int(request.page_token or "0"), request.page_size or 50
        more = start + size < len(found)
        return pb.ListJobsResponse(
            jobs=found[start : start + size], next_page_token=str(start + size) if more else ""
        )

    async def WatchJob(
        self, request: pb.WatchJobRequest, context: Context
    ) -> AsyncIterator[pb.WatchJobResponse]:
        job = self.find(request.name)
        left = self._state.faults.next(self._state.faults.cut_watches)
        while True:
            if left == 0:
                raise UnavailableError("cut")
            left = None if left is None else left - 1
            snapshot = job_pb2.Job()
            snapshot.CopyFrom(job)
            yield pb.WatchJobResponse(job=snapshot)
            if snapshot.state in TERMINAL:
                return
            await self._state.changed(job, snapshot.etag)

    async def CancelJob(
        self, request: pb.CancelJobRequest, context: Context
    ) -> pb.CancelJobResponse:
        job = self.find(request.name)
        if job.state in (job_pb2.JOB_STATE_COMPLETED, job_pb2.JOB_STATE_FAILED):
            raise FailedPreconditionError(f"{job.name} has ended already")
        await self._state.move(job.name, job_pb2.JOB_STATE_CANCELLED)
        return pb.CancelJobResponse(job=job)

    async def ListTasks(
        self, request: pb.ListTasksRequest, context: Context
    ) -> pb.ListTasksResponse:
        job = self.find(request.parent)
        attempt = job_pb2.Attempt(
            name=f"{job.name}/tasks/1/attempts/1",
            state=job_pb2.ATTEMPT_STATE_RUNNING,
            engine="engines/fake",
            fencing_token=1,
            decision="the only engine",
        )
        task = job_pb2.Task(
            name=f"{job.name}/tasks/1",
            kind=job_pb2.TASK_KIND_TRANSCODE,
            state=job_pb2.TASK_STATE_LEASED,
            attempts=[attempt],
        )
        return pb.ListTasksResponse(tasks=[task])

    async def GetEngine(
        self, request: pb.GetEngineRequest, context: Context
    ) -> pb.GetEngineResponse:
        return pb.GetEngineResponse(engine=self.find_engine(request.name))

    async def ListEngines(
        self, request: pb.ListEnginesRequest, context: Context
    ) -> pb.ListEnginesResponse:
        return pb.ListEnginesResponse(engines=self._state.engines)

    async def GetProfile(
        self, request: pb.GetProfileRequest, context: Context
    ) -> pb.GetProfileResponse:
        found = self._catalogue.get(bare(request.name, "profiles"))
        return pb.GetProfileResponse(profile=profile(found))

    async def ListProfiles(
        self, request: pb.ListProfilesRequest, context: Context
    ) -> pb.ListProfilesResponse:
        return pb.ListProfilesResponse(profiles=[profile(p) for p in self._catalogue])
