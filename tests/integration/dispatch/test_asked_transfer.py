"""Jobs that ask how their media is to travel."""

import pytest
from tests.integration.dispatch.conftest import Farm, open_farm

from distconv.core.errors import AlreadyExistsError, DistconvError, InvalidArgumentError
from distconv.rpc.errors import translated
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1.job_pb2 import (
    JOB_STATE_ASSIGNED,
    TRANSFER_MODE_FILE,
    TRANSFER_MODE_STREAMING,
    TRANSFER_MODE_UNSPECIFIED,
    TransferMode,
)

# The source has 1000 bytes: twice that, and up to an eighth more.
ROOM_BYTES = 2250


async def _refusal(farm: Farm, request: pb.CreateJobRequest) -> DistconvError:
    with pytest.raises(DistconvError) as caught, translated():
        await farm.client.CreateJob(request)
    return caught.value


async def _decided(farm: Farm, **job: TransferMode.ValueType) -> tuple[int, str]:
    """Return how a job's media went to an engine with room for it, and what is said of it."""
    engine = await farm.engine(scratch_bytes=ROOM_BYTES)
    made = await farm.job(**job)
    await engine.probe()
    work = (await engine.next_assignment()).transcode
    attempt = (await farm.tasks(made.name))[-1].attempts[-1]
    assert attempt.transfer_mode == work.transfer_mode
    return work.transfer_mode, attempt.decision


@pytest.mark.parametrize("default", ["streaming", "file"])
async def test_what_a_job_asks_for_goes_before_the_setting(tmp_path, default: str) -> None:
    async with open_farm(tmp_path, transfer=default) as farm:
        mode, why = await _decided(farm, transfer_mode=TRANSFER_MODE_FILE)
        assert mode == TRANSFER_MODE_FILE
        assert "file: the job asks for it, which takes up to 2.0 kB" in why
        mode, why = await _decided(farm, transfer_mode=TRANSFER_MODE_STREAMING)
        assert mode == TRANSFER_MODE_STREAMING
        assert "streaming: the job asks for it" in why


async def test_a_job_that_asks_for_nothing_goes_as_the_server_is_set(tmp_path) -> None:
    for default, wanted in (("streaming", "nothing keeps"), ("file", "the setting 'transfer'")):
        (tmp_path / default).mkdir()
        async with open_farm(tmp_path / default, transfer=default) as farm:
            mode, why = await _decided(farm)
            assert mode == TransferMode.Value(f"TRANSFER_MODE_{default.upper()}")
            assert f"{default}: {wanted}" in why


async def test_files_wait_for_an_engine_with_room_until_something_else_is_asked_for(
    farm: Farm,
) -> None:
    engine = await farm.engine()
    job = await farm.job(transfer_mode=TRANSFER_MODE_FILE)
    assert job.transfer_mode == TRANSFER_MODE_FILE
    await engine.probe()
    waiting = await farm.until(job.name, lambda j: "of scratch disk" in j.wait_reason)
    explained = await farm.client.ExplainJob(pb.ExplainJobRequest(name=job.name))
    assert "none has 1 MiB of scratch disk" in explained.summary
    assert "the job asks for it" in explained.summary
    assert "'dcctl jobs update --transfer streaming'" in explained.summary
    update = pb.UpdateJobRequest(job=waiting)
    update.job.transfer_mode = TRANSFER_MODE_UNSPECIFIED
    update.update_mask.paths.append("transfer_mode")
    updated = (await farm.client.UpdateJob(update)).job
    assert updated.transfer_mode == TRANSFER_MODE_UNSPECIFIED
    assert (await engine.next_assignment()).transcode.transfer_mode == TRANSFER_MODE_STREAMING


async def test_a_mode_that_is_none_is_refused(farm: Farm) -> None:
    error = await _refusal(farm, farm.request(transfer_mode=7))
    assert isinstance(error, InvalidArgumentError)
    assert error.metadata["field"] == "job.transfer_mode"
    assert "TRANSFER_MODE_FILE (2)" in error.message


async def test_the_same_request_with_another_mode_is_another(farm: Farm) -> None:
    request = farm.request(transfer_mode=TRANSFER_MODE_FILE)
    request.request_id = "same"
    made = (await farm.client.CreateJob(request)).job
    assert (await farm.client.CreateJob(request)).job.name == made.name
    request.job.transfer_mode = TRANSFER_MODE_STREAMING
    assert isinstance(await _refusal(farm, request), AlreadyExistsError)


async def test_what_was_fetched_of_a_file_is_told_before_it_is_encoded(farm: Farm) -> None:
    engine = await farm.engine(scratch_bytes=ROOM_BYTES)
    job = await farm.job(transfer_mode=TRANSFER_MODE_FILE)
    await engine.probe()
    work = await engine.next_assignment()
    await engine.reply(work)
    assert not (await farm.get(job.name)).HasField("progress")
    report = engine.report(work)
    report.progress.read_bytes = 600
    await engine.beat(report)
    told = await farm.until(job.name, lambda j: j.progress.read_bytes == 600)
    assert told.state == JOB_STATE_ASSIGNED
