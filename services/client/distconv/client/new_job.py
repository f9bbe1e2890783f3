"""Jobs to be created, and changes to be made to them, as a client writes them down."""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from distconv.client.local import sendable_name
from distconv.client.stored import StoredObject
from distconv.core.names import bare, profile_name
from distconv.core.profile import Container, Profile
from distconv.core.transfer import TransferMode
from distconv.rpc.convert.job import transfer_mode as transfer_mode_number
from distconv.rpc.convert.profile import container as container_number
from distconv.rpc.convert.profile import profile as profile_message
from distconv.rpc.convert.times import duration, timestamp
from distconv.rpc.limits import MAX_MESSAGE_BYTES
from distconv.v1 import dispatch_service_pb2 as dispatch
from distconv.v1 import job_pb2

# What one call takes, by the contract, and room left for what gRPC adds to the message.
MAX_BATCH = 10_000
_MAX_BATCH_BYTES = MAX_MESSAGE_BYTES - 64 * 1024
# Tag and length of each request within the batch.
_REQUEST_OVERHEAD_BYTES = 8


class Unchanged(Enum):
    """The value of what an update leaves as it is."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be created on an uploaded source.

    `profile` is a name that the server knows, or a profile of one's own;
    `container` None takes the profile's. `priority` is -100..100, higher first;
    `deadline` raises it as it nears; after `ttl` the job fails unfinished.
    `max_retries` None is the server's default. `engine_tags` are what an engine
    must be tagged with. `transfer_mode` is how media is to travel to the engine,
    None as the server is set: FILE goes to an engine with room for it on its
    scratch disk, or waits for one; a source that cannot be streamed goes by file
    whatever is asked. `request_id`, 1..64 characters, names the request: the
    same again makes no second job; empty: one is made up.
    """

    source: StoredObject | str
    profile: str | Profile
    file_name: str = ""
    container: Container | None = None
    priority: int = 0
    deadline: datetime | None = None
    ttl: timedelta | None = None
    max_retries: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    engine_tags: tuple[str, ...] = ()
    transfer_mode: TransferMode | None = None
    request_id: str = ""

    def request(self) -> dispatch.CreateJobRequest:
        """Return the contract's request."""
        source = self.source if isinstance(self.source, str) else self.source.name
        job = job_pb2.Job(
            source=job_pb2.JobSource(
                object=source,
                # For people alone: a source without a name of its own shows its id.
                file_name=sendable_name(self.file_name) or source.rpartition("/")[2],
            ),
            priority=self.priority,
            labels=self.labels,
            deadline=timestamp(self.deadline),
            ttl=duration(self.ttl),
            max_retries=self.max_retries,
            engine_tags=self.engine_tags,
            transfer_mode=transfer_mode_number(self.transfer_mode),
        )
        put_profile(job, self.profile)
        return dispatch.CreateJobRequest(
            job=job,
            container=container_number(self.container),
            request_id=self.request_id or secrets.token_hex(16),
        )

    def likeness(self) -> str:
        """Return the digest of all that is asked for but the request id: alike is asked alike."""
        request = replace(self, request_id="-").request()
        return hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()


def put_profile(job: job_pb2.Job, profile: str | Profile) -> None:
    """Set the profile of a job: by its name, or as it is."""
    if isinstance(profile, Profile):
        job.profile_spec.CopyFrom(profile_message(profile))
    else:
        job.profile = profile_name(bare(profile, "profiles"))


def batches(
    jobs: Iterable[NewJob], *, max_count: int = MAX_BATCH, max_bytes: int = _MAX_BATCH_BYTES
) -> Iterator[list[dispatch.CreateJobRequest]]:
    """Yield the requests of `jobs` in lists that one call takes, by number and by bytes."""
    batch: list[dispatch.CreateJobRequest] = []
    size_bytes = 0
    for job in jobs:
        request = job.request()
        request_bytes = request.ByteSize() + _REQUEST_OVERHEAD_BYTES
        if batch and (len(batch) == max_count or size_bytes + request_bytes > max_bytes):
            yield batch
            batch, size_bytes = [], 0
        batch.append(request)
        size_bytes += request_bytes
    if batch:
        yield batch
