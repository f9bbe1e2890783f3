"""What the fake's jobs and engines do when they are steered."""
# ruff: noqa: D102, N802, ARG002  # the contract names and describes these methods

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc.aio

from distconv.client.testing.state import FakeState, now
from distconv.core.errors import FailedPreconditionError, NotFoundError
from distconv.rpc.convert.times import timestamp
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import dispatch_service_pb2_grpc, engine_pb2, job_pb2

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

TERMINAL = (job_pb2.JOB_STATE_COMPLETED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED)


class FakeSteering(dispatch_service_pb2_grpc.DispatchServiceServicer):
    """Serve the verbs on jobs and engines from a FakeState; nothing of it encodes."""

    def __init__(self, state: FakeState) -> None:
        self._state = state

    async def PauseJob(self, request: pb.PauseJobRequest, context: Context) -> pb.PauseJobResponse:
        job = self.find(request.name)
        if job.state in TERMINAL:
            raise FailedPreconditionError(f"{job.name} has ended already")
        await self._state.move(job.name, job_pb2.JOB_STATE_PAUSED)
        return pb.PauseJobResponse(job=job)

    async def ResumeJob(
        self, request: pb.ResumeJobRequest, context: Context
    ) -> pb.ResumeJobResponse:
        job = self.find(request.name)
        if job.state != job_pb2.JOB_STATE_PAUSED:
            raise FailedPreconditionError(f"{job.name} is not paused")
        await self._state.move(job.name, job_pb2.JOB_STATE_PENDING)
        return pb.ResumeJobResponse(job=job)

    async def RetryJob(self, request: pb.RetryJobRequest, context: Context) -> pb.RetryJobResponse:
        job = self.find(request.name)
        if job.state not in (job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED):
            raise FailedPreconditionError(f"{job.name} is not failed or cancelled")
        job.ClearField("error")
        await self._state.move(job.name, job_pb2.JOB_STATE_PENDING)
        return pb.RetryJobResponse(job=job)

    async def UpdateJob(
        self, request: pb.UpdateJobRequest, context: Context
    ) -> pb.UpdateJobResponse:
        job = self.find(request.job.name)
        for path in request.update_mask.paths:
            job.ClearField(path)  # type: ignore[arg-type]  # a path is text
        changed = job_pb2.Job()
        request.update_mask.MergeMessage(request.job, changed)
        job.MergeFrom(changed)
        await self._state.move(job.name, job.state)
        return pb.UpdateJobResponse(job=job)

    async def DeleteJob(
        self, request: pb.DeleteJobRequest, context: Context
    ) -> pb.DeleteJobResponse:
        job = self.find(request.name)
        if job.state not in TERMINAL:
            raise FailedPreconditionError(f"{job.name} has not ended")
        job.delete_time.CopyFrom(timestamp(now()) or job.delete_time)
        if request.delete_output:
            self._state.objects.pop(job.output.object, None)
        return pb.DeleteJobResponse(job=job)

    async def AssignJob(
        self, request: pb.AssignJobRequest, context: Context
    ) -> pb.AssignJobResponse:
        if request.engine:
            self.find_engine(request.engine)
        return pb.AssignJobResponse(job=self.find(request.name))

    async def ExplainJob(
        self, request: pb.ExplainJobRequest, context: Context
    ) -> pb.ExplainJobResponse:
        job = self.find(request.name)
        fits = [pb.EngineFit(engine=engine.name, fits=True) for engine in self._state.engines]
        return pb.ExplainJobResponse(summary=job.wait_reason or "it does not wait", engines=fits)

    async def SetEngineMaintenance(
        self, request: pb.SetEngineMaintenanceRequest, context: Context
    ) -> pb.SetEngineMaintenanceResponse:
        engine = self.find_engine(request.name)
        engine.maintenance = request.maintenance
        engine.state = (
            engine_pb2.ENGINE_STATE_MAINTENANCE
            if request.maintenance
            else engine_pb2.ENGINE_STATE_ONLINE
        )
        return pb.SetEngineMaintenanceResponse(engine=engine)

    async def RevokeEngine(
        self, request: pb.RevokeEngineRequest, context: Context
    ) -> pb.RevokeEngineResponse:
        engine = self.find_engine(request.name)
        engine.state = engine_pb2.ENGINE_STATE_REVOKED
        return pb.RevokeEngineResponse(engine=engine)

    def find(self, name: str) -> job_pb2.Job:
        """Return the one job whose name begins with `name`."""
        found = [job for key, job in self._state.jobs.items() if key.startswith(name)]
        if len(found) != 1:
            raise NotFoundError(f"{'several jobs begin' if found else 'no job begins'} '{name}'")
        return found[0]

    def find_engine(self, name: str) -> engine_pb2.Engine:
        """Return the first engine whose name begins with `name`."""
        for engine in self._state.engines:
            if engine.name.startswith(name):
                return engine
        raise NotFoundError(f"no engine is named '{name}'")
