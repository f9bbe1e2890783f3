"""The local user acts for any tenant: each sees its own jobs, and every engine serves all."""

import pytest

from distconv.core.errors import DistconvError, InvalidArgumentError
from distconv.rpc.auth import TENANT_KEY
from distconv.rpc.errors import translated
from distconv.v1 import dispatch_service_pb2 as pb

from .conftest import SHA, SOURCE_BYTES, Farm

_ACME = ((TENANT_KEY, "acme-1"),)


async def test_a_tenant_sees_its_own_jobs_alone(farm: Farm) -> None:
    object_id = farm.new_id()
    farm.objects.put(object_id, size_bytes=SOURCE_BYTES, sha256=SHA, tenant="acme-1")
    request = farm.request(source=f"objects/{object_id}")
    with pytest.raises(DistconvError), translated():
        await farm.client.CreateJob(request)
    job = (await farm.client.CreateJob(request, metadata=_ACME)).job
    assert job.tenant == "acme-1"
    assert not (await farm.client.ListJobs(pb.ListJobsRequest())).jobs
    mine = await farm.client.ListJobs(pb.ListJobsRequest(), metadata=_ACME)
    assert [j.name for j in mine.jobs] == [job.name]
    engine = await farm.engine()
    assert job.name in (await engine.next_assignment()).attempt


@pytest.mark.parametrize("name", ["Acme", "a b", "a" * 64, "../x"])
async def test_a_tenants_name_is_checked(farm: Farm, name: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught, translated():
        await farm.client.ListJobs(pb.ListJobsRequest(), metadata=((TENANT_KEY, name),))
    assert caught.value.field == "tenant"
