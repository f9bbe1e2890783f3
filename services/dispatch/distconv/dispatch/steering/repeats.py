"""Requests that come again: what a request id was used for is remembered, and compared."""

from datetime import datetime, timedelta

from distconv.core.errors import AlreadyExistsError
from distconv.core.names import job_name
from distconv.dispatch.store.records import RequestRecord


def remembered(
    tenant: str,
    request_id: str,
    *,
    method: str,
    digest: str,
    job_id: str,
    now: datetime,
    retention: timedelta,
) -> RequestRecord:
    """Return what is kept for `retention`: that `method` made or moved a job for a request id.

    `digest` tells whether a request under the same id asks for the same.
    """
    return RequestRecord(
        tenant=tenant,
        request_id=request_id,
        method=method,
        digest=digest,
        job_id=job_id,
        create_time=now,
        expire_time=now + retention,
    )


def require_same(known: RequestRecord, *, method: str, digest: str) -> None:
    """Raise AlreadyExistsError when a request id was used for something else."""
    if (known.method, known.digest) != (method, digest):
        raise AlreadyExistsError(
            f"the request id '{known.request_id}' was used for something else; choose another",
            metadata={"job": job_name(known.job_id)},
        )
