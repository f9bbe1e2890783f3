"""What clients do with jobs: create, list, watch, cancel; and what they do wrong."""

import asyncio
from collections.abc import Awaitable

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from distconv.core.errors import (
    AlreadyExistsError,
    DistconvError,
    FailedPreconditionError,
    InvalidArgumentError,
    InvalidProfileError,
    NotFoundError,
    UnavailableError,
    UnknownProfileError,
)
from distconv.rpc.errors import translated
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import engine_pb2, job_pb2, object_pb2, profile_pb2
from distconv.v1 import engine_service_pb2 as session_pb

from .conftest import Farm


async def _error(call: Awaitable[object]) -> DistconvError:
    with pytest.raises(DistconvError) as caught, translated():
        await call
    return caught.value


async def test_the_same_request_makes_one_job(farm: Farm) -> None:
    request = farm.request()
    request.request_id = "r1"
    first = (await farm.client.CreateJob(request)).job
    farm.objects.stored.clear()
    assert (await farm.client.CreateJob(request)).job.name == first.name
    request.job.priority = 5
    error = await _error(farm.client.CreateJob(request))
    assert isinstance(error, AlreadyExistsError)
    assert error.metadata["job"] == first.name


async def test_validate_only_creates_nothing(farm: Farm) -> None:
    request = farm.request()
    request.validate_only = True
    job = (await farm.client.CreateJob(request)).job
    assert job.name == ""
    assert job.profile_spec.video.codec == profile_pb2.VIDEO_CODEC_H264
    assert not (await farm.client.ListJobs(pb.ListJobsRequest())).jobs


async def test_a_container_may_be_chosen(farm: Farm) -> None:
    request = farm.request()
    request.container = profile_pb2.CONTAINER_MKV
    job = (await farm.client.CreateJob(request)).job
    assert job.profile_spec.container == profile_pb2.CONTAINER_MKV
    request.container = profile_pb2.CONTAINER_WEBM
    assert isinstance(await _error(farm.client.CreateJob(request)), InvalidProfileError)


async def test_a_profile_may_come_with_the_request(farm: Farm) -> None:
    request = farm.request(profile="")
    spec = request.job.profile_spec
    spec.name = "profiles/mine"
    spec.container = profile_pb2.CONTAINER_MKV
    spec.video.codec = profile_pb2.VIDEO_CODEC_HEVC
    spec.video.crf = 30
    spec.audio.codec = profile_pb2.AUDIO_CODEC_COPY
    job = (await farm.client.CreateJob(request)).job
    assert job.profile == "profiles/mine"
    assert job.profile_spec.video.crf == 30
    spec.video.crf = 99
    error = await _error(farm.client.CreateJob(request))
    assert isinstance(error, InvalidProfileError)
    assert error.field == "video.crf"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda j: j.source.ClearField("object"), "job.source.object"),
        (lambda j: setattr(j.source, "object", "objects/../../etc"), "job.source.object"),
        (lambda j: setattr(j.source, "file_name", "a/b.mkv"), "job.source.file_name"),
        (lambda j: setattr(j.source, "file_name", ""), "job.source.file_name"),
        (lambda j: setattr(j, "priority", 101), "job.priority"),
        (lambda j: setattr(j, "max_retries", -1), "job.max_retries"),
        (lambda j: j.labels.update({"Bad Key": "x"}), "job.labels"),
        (lambda j: j.labels.update({f"k{n}": "x" for n in range(33)}), "job.labels"),
        (lambda j: j.labels.update({"k": "x" * 256}), "job.labels"),
        (lambda j: j.ttl.FromSeconds(0), "job.ttl"),
        (lambda j: j.deadline.FromSeconds(1), "job.deadline"),
        (lambda j: setattr(j, "profile", ""), "job.profile"),
    ],
)
async def test_bad_values_are_named(farm: Farm, change, field: str) -> None:
    request = farm.request()
    change(request.job)
    error = await _error(farm.client.CreateJob(request))
    assert isinstance(error, InvalidArgumentError)
    assert error.field == field


async def test_an_unknown_profile_has_suggestions(farm: Farm) -> None:
    error = await _error(farm.client.CreateJob(farm.request(profile="profiles/h264-721p")))
    assert isinstance(error, UnknownProfileError)
    assert "h264-720p" in error.message
    error = await _error(farm.client.GetProfile(pb.GetProfileRequest(name="profiles/none")))
    assert isinstance(error, UnknownProfileError)
    known = (await farm.client.ListProfiles(pb.ListProfilesRequest())).profiles
    assert "profiles/av1-1080p" in [p.name for p in known]


async def test_the_source_must_be_there_and_of_a_known_size(farm: Farm) -> None:
    missing = farm.request(source=f"objects/{farm.new_id()}")
    assert isinstance(await _error(farm.client.CreateJob(missing)), NotFoundError)
    endless = farm.request(source=farm.source(committed=False, size_bytes=0))
    error = await _error(farm.client.CreateJob(endless))
    assert isinstance(error, FailedPreconditionError)
    assert "its size is not known" in error.message
    farm.objects.away = True
    error = await _error(farm.client.CreateJob(farm.request()))
    assert isinstance(error, UnavailableError)


async def test_jobs_are_found_by_prefix_and_only_whole_names_elsewhere(farm: Farm) -> None:
    job = await farm.job()
    assert (await farm.get(job.name)).name == job.name
    assert (await farm.get(job.name[: len("jobs/") + 15])).name == job.name
    await farm.pass_time(milliseconds=1)
    await farm.job()
    error = await _error(farm.get(job.name[: len("jobs/") + 4]))
    assert "several" in error.message
    assert isinstance(await _error(farm.get("jobs/zzzz")), NotFoundError)
    assert isinstance(await _error(farm.get("engines/zzzz")), InvalidArgumentError)
    assert isinstance(await _error(farm.get("jobs/a!")), InvalidArgumentError)


async def test_jobs_are_listed_in_pages(farm: Farm) -> None:
    names = []
    for k in range(5):
        await farm.pass_time(seconds=1)
        names.append((await farm.job(priority=k)).name)
    first = await farm.client.ListJobs(pb.ListJobsRequest(page_size=2, with_total_size=True))
    assert [j.name for j in first.jobs] == names[:2:-1]
    assert first.total_size == 5
    token = first.next_page_token
    second = await farm.client.ListJobs(pb.ListJobsRequest(page_size=3, page_token=token))
    assert [j.name for j in second.jobs] == names[2::-1]
    assert second.next_page_token == ""
    assert not second.HasField("total_size")
    oldest = await farm.client.ListJobs(pb.ListJobsRequest(order_by="create_time", page_size=1))
    assert [j.name for j in oldest.jobs] == names[:1]
    await farm.client.CancelJob(pb.CancelJobRequest(name=names[0]))
    text = "state = CANCELLED AND profile = profiles/h264-720p"
    found = await farm.client.ListJobs(pb.ListJobsRequest(filter=text))
    assert [j.name for j in found.jobs] == names[:1]
    masked = pb.ListJobsRequest(page_size=1)
    masked.read_mask.paths.append("name")
    only = (await farm.client.ListJobs(masked)).jobs[0]
    assert only == job_pb2.Job(name=names[-1])


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ListJobsRequest(page_size=-1), "page_size"),
        (pb.ListJobsRequest(page_size=1001), "page_size"),
        (pb.ListJobsRequest(page_token="nonsense"), "page_token"),
        (pb.ListJobsRequest(filter="state ~ FAILED"), "filter"),
        (pb.ListJobsRequest(filter="state = BROKEN"), "filter"),
        (pb.ListJobsRequest(filter="colour = blue"), "filter"),
        (pb.ListJobsRequest(order_by="creator"), "order_by"),
        (pb.ListJobsRequest(read_mask=FieldMask(paths=["nothing"])), "read_mask"),
    ],
)
async def test_bad_lists_are_named(farm: Farm, request_: pb.ListJobsRequest, field: str) -> None:
    await farm.job()
    error = await _error(farm.client.ListJobs(request_))
    assert isinstance(error, InvalidArgumentError)
    assert error.field == field


async def test_a_waiting_job_says_why(farm: Farm) -> None:
    first = await farm.job(profile="profiles/av1-720p")
    assert "no engine is connected" in (await farm.get(first.name)).wait_reason
    engine = await farm.engine(encoders=["libx264", "aac"])
    await engine.probe()
    lacks = await farm.until(first.name, lambda job: "none has" in job.wait_reason)
    assert lacks.wait_reason == "1 engine connected but none has libopus, libsvtav1"
    await farm.job()
    await engine.next_assignment()
    await farm.pass_time(seconds=1)
    await farm.job()
    await farm.pass_time(seconds=1)
    last = await farm.job()
    busy = await farm.until(last.name, lambda job: "busy" in job.wait_reason)
    assert busy.wait_reason == "its slot is busy; 1 job ahead"


async def test_priority_goes_first(farm: Farm) -> None:
    await farm.job(priority=-5)
    high = await farm.job(priority=50)
    engine = await farm.engine()
    assert high.name in (await engine.next_assignment()).attempt


async def test_cancel_ends_what_runs(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    await engine.probe()
    work = await engine.next_assignment()
    await engine.reply(work)
    cancelled = (await farm.client.CancelJob(pb.CancelJobRequest(name=job.name))).job
    assert cancelled.state == job_pb2.JOB_STATE_CANCELLED
    stop = (await engine.hear("cancel_attempt")).cancel_attempt
    assert stop.attempt == work.attempt
    assert stop.fencing_token == work.fencing_token
    # Its slot is free only once the engine has let go.
    other = await farm.job()
    waiting = await farm.get(other.name)
    assert waiting.state == job_pb2.JOB_STATE_PENDING
    assert (await engine.tell(engine.outcome(work, "cancelled"))).accepted
    assert other.name in (await engine.next_assignment()).attempt
    again = (await farm.client.CancelJob(pb.CancelJobRequest(name=job.name))).job
    assert again.state == job_pb2.JOB_STATE_CANCELLED
    object_id = work.transcode.sink.object.removeprefix("objects/")
    await farm.until_deleted(object_id)


async def test_a_cancelled_attempt_is_stale_at_the_next_heartbeat(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    probe = await engine.next_assignment()
    await farm.client.CancelJob(pb.CancelJobRequest(name=job.name))
    ack = await engine.beat(engine.report(probe))
    assert ack.stale_attempts == [probe.attempt]
    other = await farm.job()
    await engine.beat()
    assert other.name in (await engine.next_assignment()).attempt


async def test_a_failed_job_cannot_be_cancelled(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    probe = await engine.next_assignment()
    await engine.tell(engine.failed(probe, retryable=False))
    error = await _error(farm.client.CancelJob(pb.CancelJobRequest(name=job.name)))
    assert isinstance(error, FailedPreconditionError)


async def test_a_watch_begins_at_once_and_ends_with_the_job(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    states: list[job_pb2.JobState.ValueType] = []

    async def follow() -> None:
        stream = farm.client.WatchJob(pb.WatchJobRequest(name=job.name))
        states.extend([response.job.state async for response in stream])

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(follow())
        await engine.probe()
        work = await engine.next_assignment()
        for frames in range(100):
            report = engine.report(work, session_pb.ATTEMPT_PHASE_ENCODING, frames % 50)
            await engine.beat(report)
        farm.store_output(work)
        await engine.tell(engine.transcoded(work))
    assert states[-1] == job_pb2.JOB_STATE_COMPLETED
    assert job_pb2.JOB_STATE_TRANSCODING in states
    assert len(states) < 100


async def test_a_watch_of_nothing_is_not_found(farm: Farm) -> None:
    stream = farm.client.WatchJob(pb.WatchJobRequest(name="jobs/zzz"))
    assert isinstance(await _error(stream.read()), NotFoundError)


async def test_shutdown_ends_watches_and_sessions(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    stream = farm.client.WatchJob(pb.WatchJobRequest(name=job.name))
    await stream.read()
    farm.dispatch.drain()
    assert (await engine.hear("drain")).drain.reason
    assert (await engine.code()).name == "UNAVAILABLE"

    async def rest() -> None:
        while await stream.read():
            pass

    assert isinstance(await _error(rest()), UnavailableError)


async def test_engines_are_shown(farm: Farm) -> None:
    engine = await farm.engine(slots=3)
    await farm.job()
    probe = await engine.next_assignment()
    shown = (await farm.client.GetEngine(pb.GetEngineRequest(name=engine.name))).engine
    assert shown.state == engine_pb2.ENGINE_STATE_ONLINE
    assert shown.slot_count == 3
    assert shown.busy_slot_count == 1
    assert shown.attempts == [probe.attempt]
    assert shown.capabilities.transcoders[0].name == "ffmpeg"
    await engine.vanish()
    request = pb.ListEnginesRequest(filter="state = OFFLINE")
    async with asyncio.timeout(10):
        while not (await farm.client.ListEngines(request)).engines:
            pass
    missing = pb.GetEngineRequest(name="engines/zzz")
    assert isinstance(await _error(farm.client.GetEngine(missing)), NotFoundError)


async def test_media_access_is_for_ones_own(farm: Farm) -> None:
    write = pb.GrantMediaAccessRequest(action=object_pb2.MEDIA_ACTION_WRITE)
    made = (await farm.client.GrantMediaAccess(write)).access
    assert made.object.startswith("objects/")
    assert made.token
    read = pb.GrantMediaAccessRequest(action=object_pb2.MEDIA_ACTION_READ, object=made.object)
    assert isinstance(await _error(farm.client.GrantMediaAccess(read)), NotFoundError)
    source = farm.source()
    read.object = source
    assert (await farm.client.GrantMediaAccess(read)).access.object == source
    bad = pb.GrantMediaAccessRequest(object=source)
    assert isinstance(await _error(farm.client.GrantMediaAccess(bad)), InvalidArgumentError)
    await farm.job(source=source)
    delete = pb.GrantMediaAccessRequest(action=object_pb2.MEDIA_ACTION_DELETE, object=source)
    error = await _error(farm.client.GrantMediaAccess(delete))
    assert isinstance(error, FailedPreconditionError)


async def test_users_may_not_write_engines_outputs(farm: Farm) -> None:
    engine = await farm.engine()
    await farm.job()
    await engine.probe()
    work = await engine.next_assignment()
    farm.store_output(work)
    request = pb.GrantMediaAccessRequest(
        action=object_pb2.MEDIA_ACTION_WRITE, object=work.transcode.sink.object
    )
    error = await _error(farm.client.GrantMediaAccess(request))
    assert error.reason == "PERMISSION_DENIED"


async def test_every_method_for_clients_is_served(farm: Farm) -> None:
    info = await farm.client.GetServerInfo(pb.GetServerInfoRequest())
    service = "distconv.v1.DispatchService."
    assert not [name for name in info.unimplemented_methods if name.startswith(service)]


async def test_a_stray_stream_is_refused(farm: Farm) -> None:
    for first in (
        session_pb.EngineMessage(heartbeat=session_pb.Heartbeat()),
        session_pb.EngineMessage(hello=session_pb.Hello(engine_id="short", slot_count=1)),
        session_pb.EngineMessage(hello=session_pb.Hello(engine_id=farm.new_id(), slot_count=0)),
    ):
        stray = farm.stranger()
        await stray.say(first)
        assert (await stray.code()).name == "INVALID_ARGUMENT"
