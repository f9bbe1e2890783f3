"""Create many jobs in one call: all or none."""

from collections.abc import Awaitable

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from distconv.core.errors import (
    AlreadyExistsError,
    DistconvError,
    InvalidArgumentError,
    NotFoundError,
)
from distconv.rpc.errors import translated
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import job_pb2

from .conftest import Farm


async def _error(call: Awaitable[object]) -> DistconvError:
    with pytest.raises(DistconvError) as caught, translated():
        await call
    return caught.value


def _batch(farm: Farm, count: int) -> pb.BatchCreateJobsRequest:
    source = farm.source()
    return pb.BatchCreateJobsRequest(requests=[farm.request(source=source) for _ in range(count)])


async def _count(farm: Farm) -> int:
    request = pb.ListJobsRequest(page_size=1, with_total_size=True)
    return (await farm.client.ListJobs(request)).total_size


async def test_jobs_come_in_the_order_of_their_requests(farm: Farm) -> None:
    request = _batch(farm, 300)
    for k, one in enumerate(request.requests):
        one.job.labels["k"] = str(k)
    made = (await farm.client.BatchCreateJobs(request)).jobs
    assert len({job.name for job in made}) == 300
    assert await _count(farm) == 300
    assert made[0].state == job_pb2.JOB_STATE_PENDING
    assert made[0].profile == "profiles/h264-720p"
    assert not made[0].HasField("source")
    for k in (0, 150, 299):
        assert (await farm.get(made[k].name)).labels == {"k": str(k)}


async def test_the_fields_of_the_answer_can_be_chosen(farm: Farm) -> None:
    request = _batch(farm, 2)
    request.read_mask.CopyFrom(FieldMask(paths=["name", "source"]))
    made = (await farm.client.BatchCreateJobs(request)).jobs
    assert made[0].source.size_bytes == 1000
    assert made[0].profile == ""
    request.read_mask.CopyFrom(FieldMask(paths=["no"]))
    error = await _error(farm.client.BatchCreateJobs(request))
    assert error.metadata["field"] == "read_mask"


async def test_one_wrong_request_creates_none_and_all_are_named(farm: Farm) -> None:
    request = _batch(farm, 5)
    request.requests[1].job.priority = 101
    request.requests[3].job.labels["Bad Key"] = "x"
    error = await _error(farm.client.BatchCreateJobs(request))
    assert isinstance(error, InvalidArgumentError)
    assert error.field == "requests[1].job.priority"
    assert "1 more of the batch is wrong" in error.message
    assert [field for field, _ in error.violations] == [
        "requests[1].job.priority",
        "requests[3].job.labels",
    ]
    assert await _count(farm) == 0


async def test_a_missing_source_is_named_with_its_request(farm: Farm) -> None:
    request = _batch(farm, 3)
    request.requests[2].job.source.object = f"objects/{farm.new_id()}"
    error = await _error(farm.client.BatchCreateJobs(request))
    assert isinstance(error, NotFoundError)
    assert error.metadata["field"] == "requests[2].job.source.object"
    assert await _count(farm) == 0


async def test_each_request_id_makes_one_job(farm: Farm) -> None:
    request = _batch(farm, 3)
    for k, one in enumerate(request.requests):
        one.request_id = f"r{k}"
    first = [job.name for job in (await farm.client.BatchCreateJobs(request)).jobs]
    farm.objects.stored.clear()
    again = [job.name for job in (await farm.client.BatchCreateJobs(request)).jobs]
    assert again == first
    request.requests[1].job.priority = 7
    error = await _error(farm.client.BatchCreateJobs(request))
    assert isinstance(error, AlreadyExistsError)
    assert error.metadata["job"] == first[1]
    request.requests[1].request_id = "r0"
    error = await _error(farm.client.BatchCreateJobs(request))
    assert error.metadata["field"] == "requests[1].request_id"


async def test_a_batch_is_checked_without_being_created(farm: Farm) -> None:
    request = _batch(farm, 2)
    request.requests[0].validate_only = True
    error = await _error(farm.client.BatchCreateJobs(request))
    assert error.metadata["field"] == "requests"
    request.requests[1].validate_only = True
    made = (await farm.client.BatchCreateJobs(request)).jobs
    assert [job.name for job in made] == ["", ""]
    assert await _count(farm) == 0


async def test_a_batch_has_one_to_ten_thousand_requests(farm: Farm) -> None:
    error = await _error(farm.client.BatchCreateJobs(pb.BatchCreateJobsRequest()))
    assert error.metadata["field"] == "requests"
    error = await _error(farm.client.BatchCreateJobs(_batch(farm, 10_001)))
    assert "split it" in error.message
