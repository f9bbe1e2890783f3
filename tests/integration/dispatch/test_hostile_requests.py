"""Requests with values that no honest client sends: refused with their reason, never a fault."""

from collections.abc import Awaitable

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from distconv.core.errors import DistconvError, InvalidArgumentError
from distconv.rpc.errors import translated
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import engine_service_pb2 as session_pb
from distconv.v1 import job_pb2

from .conftest import Farm


async def _error(call: Awaitable[object]) -> DistconvError:
    with pytest.raises(DistconvError) as caught, translated():
        await call
    return caught.value


async def test_a_nul_is_refused_wherever_text_goes(farm: Farm) -> None:
    labelled = farm.request()
    labelled.job.labels["note"] = "a\0b"
    error = await _error(farm.client.CreateJob(labelled))
    assert isinstance(error, InvalidArgumentError), error
    assert "labels" in error.message
    for text in ('labels.note = "a\0b"', 'profile = "a\0b"', 'state = "A\0"', 'text : "a\0b"'):
        error = await _error(farm.client.ListJobs(pb.ListJobsRequest(filter=text)))
        assert isinstance(error, InvalidArgumentError), text
    engines = pb.ListEnginesRequest(filter='text : "a\0b"')
    assert isinstance(await _error(farm.client.ListEngines(engines)), InvalidArgumentError)


@pytest.mark.parametrize("seconds", [-(1 << 62), -99_999_999_999, 253_402_300_800, 1 << 62])
async def test_a_deadline_that_no_calendar_has_is_refused(farm: Farm, seconds: int) -> None:
    request = farm.request()
    request.job.deadline.seconds = seconds
    error = await _error(farm.client.CreateJob(request))
    assert isinstance(error, InvalidArgumentError), error
    assert error.metadata["field"] == "job.deadline"
    update = pb.UpdateJobRequest(job=request.job, update_mask=FieldMask(paths=["deadline"]))
    update.job.name = (await farm.job()).name
    assert isinstance(await _error(farm.client.UpdateJob(update)), InvalidArgumentError)


@pytest.mark.parametrize("seconds", [-(1 << 62), -1, 0, 1 << 62, 86_400 * 4000])
async def test_a_ttl_out_of_its_range_is_refused(farm: Farm, seconds: int) -> None:
    request = farm.request()
    request.job.ttl.seconds = seconds
    error = await _error(farm.client.CreateJob(request))
    assert isinstance(error, InvalidArgumentError), error
    assert error.metadata["field"] == "job.ttl"


async def test_tags_fill_no_more_than_a_requirement_set_holds(farm: Farm) -> None:
    longest = farm.request()
    longest.job.engine_tags.extend(f"{k:02}" + "x" * 61 for k in range(16))
    error = await _error(farm.client.CreateJob(longest))
    assert isinstance(error, InvalidArgumentError)
    assert "engine_tags" in error.message
    some = farm.request()
    some.job.engine_tags.extend(["gpu", "berlin", "x" * 63])
    assert (await farm.client.CreateJob(some)).job.state == job_pb2.JOB_STATE_PENDING


async def test_an_output_that_another_job_reads_outlives_the_job_that_made_it(farm: Farm) -> None:
    engine = await farm.engine()
    first = await farm.job()
    await engine.probe()
    work = await engine.next_assignment()
    await engine.reply(work)
    made = farm.store_output(work)
    assert (await engine.tell(engine.transcoded(work))).accepted
    second = await farm.job(source=f"objects/{made}")
    request = pb.DeleteJobRequest(name=first.name, delete_output=True)
    error = await _error(farm.client.DeleteJob(request))
    assert "source" in error.message
    await farm.client.CancelJob(pb.CancelJobRequest(name=second.name))
    await farm.client.DeleteJob(request)
    await farm.until_deleted(made)


@pytest.mark.parametrize("duration_s", [1e300, float("inf"), float("nan"), -5.0])
async def test_a_source_that_lies_about_its_length_is_taken(farm: Farm, duration_s: float) -> None:
    engine = await farm.engine()
    job = await farm.job()
    work = await engine.next_assignment()
    await engine.reply(work)
    result = engine.probed(work)
    result.probe.media.duration_s = duration_s
    for stream in result.probe.media.streams:
        stream.width = stream.height = (1 << 31) - 1
    assert (await engine.tell(result)).accepted
    assert (await engine.next_assignment()).HasField("transcode")
    assert (await farm.get(job.name)).state == job_pb2.JOB_STATE_ASSIGNED


def _with_message(result: session_pb.AttemptResult, text: str) -> session_pb.AttemptResult:
    result.failure.message = text
    return result


async def test_what_an_engine_says_is_kept_without_nuls(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    work = await engine.next_assignment()
    await engine.reply(work)
    assert (
        await engine.tell(_with_message(engine.failed(work, retryable=True), "bad\0input"))
    ).accepted
    history = await farm.client.GetJobHistory(pb.GetJobHistoryRequest(name=job.name))
    assert not [t for t in history.transitions if "\0" in t.cause]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300])
async def test_progress_that_is_no_number_does_not_spoil_its_job(farm: Farm, number: float) -> None:
    engine = await farm.engine()
    job = await farm.job()
    await engine.probe()
    work = await engine.next_assignment()
    await engine.reply(work)
    report = engine.report(work, session_pb.ATTEMPT_PHASE_ENCODING, 5)
    report.progress.fps = report.progress.speed = report.progress.fraction = number
    await engine.beat(report)
    await farm.until_state(job.name, job_pb2.JOB_STATE_TRANSCODING)
    farm.store_output(work)
    result = engine.transcoded(work)
    result.transcode.source_census.streams[0].first_time_s = number
    await engine.tell(result)
    await farm.get(job.name)
    await farm.client.ListJobs(pb.ListJobsRequest())
