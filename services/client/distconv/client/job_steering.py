"""What the SDK changes about jobs that there are."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from google.protobuf.field_mask_pb2 import FieldMask

from distconv.client.calls import Calls
from distconv.client.convert.job import to_job
from distconv.client.job import Job
from distconv.client.new_job import UNCHANGED, Unchanged, put_profile
from distconv.core.names import bare, engine_name, job_name
from distconv.core.profile import Container, Profile
from distconv.core.transfer import TransferMode
from distconv.rpc.channel import UNARY_TIMEOUT_S
from distconv.rpc.convert.job import transfer_mode as transfer_mode_number
from distconv.rpc.convert.profile import container as container_number
from distconv.rpc.convert.times import duration, timestamp
from distconv.v1 import dispatch_service_pb2 as dispatch
from distconv.v1 import job_pb2


class JobSteering(Calls):
    """Change, hold, end, begin again, delete and assign jobs; names as in JobCalls."""

    async def update_job(
        self,
        name: str,
        *,
        priority: int | Unchanged = UNCHANGED,
        deadline: datetime | Unchanged | None = UNCHANGED,
        ttl: timedelta | Unchanged | None = UNCHANGED,
        max_retries: int | Unchanged | None = UNCHANGED,
        labels: Mapping[str, str] | Unchanged = UNCHANGED,
        engine_tags: Sequence[str] | Unchanged = UNCHANGED,
        transfer_mode: TransferMode | Unchanged | None = UNCHANGED,
        profile: str | Profile | Unchanged = UNCHANGED,
        container: Container | None = None,
        etag: str = "",
    ) -> Job:
        """Change what is given of a job and return it; None clears a value.

        `labels` and `engine_tags` replace all that were, `engine_tags` and
        `transfer_mode` count from the next attempt on; `container` goes with
        `profile`, which can be changed until an engine begins to encode. With the
        `etag` of a Job that was read, a change made meanwhile is not overwritten.
        Raises NotFoundError, InvalidArgumentError, FailedPreconditionError (the
        state does not allow it), StaleEtagError.
        """
        job = job_pb2.Job(name=_job_name(name), etag=etag)
        paths = []
        if not isinstance(priority, Unchanged):
            job.priority = priority
            paths.append("priority")
        if not isinstance(deadline, Unchanged):
            job.MergeFrom(job_pb2.Job(deadline=timestamp(deadline)))
            paths.append("deadline")
        if not isinstance(ttl, Unchanged):
            job.MergeFrom(job_pb2.Job(ttl=duration(ttl)))
            paths.append("ttl")
        if not isinstance(max_retries, Unchanged):
            job.MergeFrom(job_pb2.Job(max_retries=max_retries))
            paths.append("max_retries")
        if not isinstance(labels, Unchanged):
            job.labels.update(labels)
            paths.append("labels")
        if not isinstance(engine_tags, Unchanged):
            job.engine_tags.extend(engine_tags)
            paths.append("engine_tags")
        if not isinstance(transfer_mode, Unchanged):
            job.transfer_mode = transfer_mode_number(transfer_mode)
            paths.append("transfer_mode")
        if not isinstance(profile, Unchanged):
            put_profile(job, profile)
            paths.append("profile" if job.profile else "profile_spec")
        connection = self._connection
        response = await connection.once(
            connection.dispatch.UpdateJob,
            dispatch.UpdateJobRequest(
                job=job, update_mask=FieldMask(paths=paths), container=container_number(container)
            ),
        )
        return to_job(response.job)

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

    async def pause_job(self, name: str) -> Job:
        """Hold a job and return it; a running attempt is ended. Idempotent.

        Raises NotFoundError, and FailedPreconditionError when it has ended.
        """
        connection = self._connection
        response = await connection.once(
            connection.dispatch.PauseJob, dispatch.PauseJobRequest(name=_job_name(name))
        )
        return to_job(response.job)

    async def resume_job(self, name: str) -> Job:
        """Let a held job go on and return it.

        Raises NotFoundError, and FailedPreconditionError when it is not paused.
        """
        connection = self._connection
        response = await connection.once(
            connection.dispatch.ResumeJob, dispatch.ResumeJobRequest(name=_job_name(name))
        )
        return to_job(response.job)

    async def retry_job(self, name: str, *, request_id: str = "") -> Job:
        """Start a failed or cancelled job again, all its retries anew, and return it.

        Idempotent by `request_id`. Raises NotFoundError (the job, or its source),
        FailedPreconditionError (it is neither, or was deleted).
        """
        connection = self._connection
        response = await connection.persistently(
            connection.dispatch.RetryJob,
            dispatch.RetryJobRequest(
                name=_job_name(name), request_id=request_id or secrets.token_hex(16)
            ),
        )
        return to_job(response.job)

    async def delete_job(self, name: str, *, delete_output: bool = False) -> Job:
        """Delete a job that has ended, its output too if asked, and return it. Idempotent.

        It can be read by its name until the server's retention is over. Raises
        NotFoundError, and FailedPreconditionError when it has not ended.
        """
        connection = self._connection
        response = await connection.once(
            connection.dispatch.DeleteJob,
            dispatch.DeleteJobRequest(name=_job_name(name), delete_output=delete_output),
        )
        return to_job(response.job)

    async def assign_job(self, name: str, engine: str = "") -> Job:
        """Have a waiting job done by one engine alone, or by any again, and return it.

        Raises NotFoundError (the job, or the engine), FailedPreconditionError (it
        does not wait, or the engine cannot do it: the message says why).
        """
        connection = self._connection
        response = await connection.once(
            connection.dispatch.AssignJob,
            dispatch.AssignJobRequest(
                name=_job_name(name), engine=engine_name(bare(engine, "engines"))
            ),
        )
        return to_job(response.job)


def _job_name(name: str) -> str:
    return job_name(bare(name, "jobs"))
