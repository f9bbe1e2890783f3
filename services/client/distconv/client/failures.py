"""Errors that only a client raises: what became of the job it waited for."""

from typing import ClassVar

from distconv.client.job import Job
from distconv.core.errors import (
    CancelledError,
    DeadlineExceededError,
    DistconvError,
    UnavailableError,
)
from distconv.core.failure import Failure

LOST = (UnavailableError, DeadlineExceededError)
"""What work ends with whose server is away or silent: it may go on there, or be gone on with."""


class JobFailedError(DistconvError):
    """The job failed; `failure` says why, `job` is its last snapshot."""

    reason: ClassVar[str] = "JOB_FAILED"

    def __init__(self, job: Job) -> None:
        self.job = job
        self.failure = job.error or Failure(
            reason="UNKNOWN", message="the server gave no reason", retryable=False
        )
        super().__init__(self.failure.message, metadata={"job": job.name})


class JobCancelledError(CancelledError):
    """The job was cancelled by someone else; `job` is its last snapshot."""

    reason: ClassVar[str] = "JOB_CANCELLED"

    def __init__(self, job: Job) -> None:
        self.job = job
        super().__init__(f"job {job.id} was cancelled", metadata={"job": job.name})
