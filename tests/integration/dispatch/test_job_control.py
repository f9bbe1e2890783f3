"""Hold, resume, update, retry, delete and assign jobs, and what each refuses."""

from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from distconv.core.errors import (
    AlreadyExistsError,
    DistconvError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    StaleEtagError,
    UnknownProfileError,
)
from distconv.rpc.errors import translated
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import engine_service_pb2 as session_pb
from distconv.v1 import job_pb2, profile_pb2

from .conftest import Engine, Farm, open_farm


async def _error(call: Awaitable[object]) -> DistconvError:
    with pytest.raises(DistconvError) as caught, translated():
        await call
    return caught.value


async def _pause(farm: Farm, job: job_pb2.Job) -> job_pb2.Job:
    return (await farm.client.PauseJob(pb.PauseJobRequest(name=job.name))).job


async def _resume(farm: Farm, job: job_pb2.Job) -> job_pb2.Job:
    return (await farm.client.ResumeJob(pb.ResumeJobRequest(name=job.name))).job


async def _cancel(farm: Farm, job: job_pb2.Job) -> job_pb2.Job:
    return (await farm.client.CancelJob(pb.CancelJobRequest(name=job.name))).job


async def _encoding(farm: Farm, engine: Engine) -> tuple[job_pb2.Job, session_pb.Assignment]:
    """Bring a job to where its transcode runs."""
    job = await farm.job()
    await engine.probe()
    work = await engine.next_assignment()
    await engine.reply(work)
    await engine.beat(engine.report(work, session_pb.ATTEMPT_PHASE_ENCODING, 5))
    return job, work


async def _finish(farm: Farm, engine: Engine, work: session_pb.Assignment) -> None:
    await engine.reply(work)
    farm.store_output(work)
    assert (await engine.tell(engine.transcoded(work))).accepted


async def _completed(farm: Farm, engine: Engine) -> job_pb2.Job:
    job = await farm.job()
    await engine.probe()
    await _finish(farm, engine, await engine.next_assignment())
    return await farm.until_state(job.name, job_pb2.JOB_STATE_COMPLETED)


# --- pause and resume ------------------------------------------------------------------------


async def test_a_paused_job_is_given_to_nobody_until_it_is_resumed(farm: Farm) -> None:
    job = await farm.job()
    paused = await _pause(farm, job)
    assert paused.state == job_pb2.JOB_STATE_PAUSED
    assert "paused" in paused.wait_reason
    assert (await _pause(farm, job)).state == job_pb2.JOB_STATE_PAUSED
    engine = await farm.engine()
    other = await farm.job()
    assert other.name in (await engine.next_assignment()).attempt
    assert (await _resume(farm, job)).state == job_pb2.JOB_STATE_PENDING
    second = await farm.engine()
    assert job.name in (await second.next_assignment()).attempt


async def test_a_pause_ends_what_runs_and_keeps_what_was_done(farm: Farm) -> None:
    engine = await farm.engine()
    job, work = await _encoding(farm, engine)
    paused = await _pause(farm, job)
    assert paused.state == job_pb2.JOB_STATE_PAUSED
    assert paused.engine == ""
    assert (await engine.hear("cancel_attempt")).cancel_attempt.attempt == work.attempt
    late = await engine.tell(engine.transcoded(work))
    assert not late.accepted
    assert [task.state for task in await farm.tasks(job.name)] == [
        job_pb2.TASK_STATE_SUCCEEDED,
        job_pb2.TASK_STATE_BLOCKED,
    ]
    await farm.until_deleted(work.transcode.sink.object.removeprefix("objects/"))
    await _resume(farm, job)
    again = await engine.next_assignment()
    assert again.HasField("transcode")
    assert again.fencing_token > work.fencing_token
    await _finish(farm, engine, again)
    done = await farm.until_state(job.name, job_pb2.JOB_STATE_COMPLETED)
    assert done.retry_count == 0


async def test_a_job_that_waits_for_its_retry_can_be_paused(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    probe = await engine.next_assignment()
    await engine.tell(engine.failed(probe, retryable=True))
    await farm.until_state(job.name, job_pb2.JOB_STATE_RETRYING)
    await _pause(farm, job)
    await farm.pass_time(hours=1)
    assert (await farm.get(job.name)).state == job_pb2.JOB_STATE_PAUSED
    await _resume(farm, job)
    assert job.name in (await engine.next_assignment()).attempt


async def test_what_has_ended_or_is_not_held_is_neither_paused_nor_resumed(farm: Farm) -> None:
    job = await farm.job()
    error = await _error(_resume(farm, job))
    assert isinstance(error, FailedPreconditionError)
    assert "PENDING, not PAUSED" in error.message
    await _cancel(farm, job)
    assert isinstance(await _error(_pause(farm, job)), FailedPreconditionError)
    missing = job_pb2.Job(name="jobs/zzz")
    assert isinstance(await _error(_pause(farm, missing)), NotFoundError)


async def test_a_paused_job_can_be_cancelled_and_expires(farm: Farm) -> None:
    request = farm.request()
    request.job.ttl.FromSeconds(60)
    job = (await farm.client.CreateJob(request)).job
    other = await farm.job()
    await _pause(farm, job)
    await _pause(farm, other)
    assert (await _cancel(farm, other)).state == job_pb2.JOB_STATE_CANCELLED
    await farm.pass_time(seconds=61)
    failed = await farm.until_state(job.name, job_pb2.JOB_STATE_FAILED)
    assert failed.error.reason == "EXPIRED"


# --- retry -----------------------------------------------------------------------------------


async def test_a_failed_job_begins_again_with_what_it_had_done(farm: Farm) -> None:
    engine = await farm.engine()
    job, work = await _encoding(farm, engine)
    await engine.tell(engine.failed(work, retryable=False))
    failed = await farm.until_state(job.name, job_pb2.JOB_STATE_FAILED)
    assert failed.retry_count == 1
    request = pb.RetryJobRequest(name=job.name, request_id="again")
    retried = (await farm.client.RetryJob(request)).job
    assert retried.state == job_pb2.JOB_STATE_PENDING
    assert retried.retry_count == 0
    assert not retried.HasField("end_time")
    assert not retried.HasField("error")
    again = await engine.next_assignment()
    assert again.HasField("transcode")
    await _finish(farm, engine, again)
    await farm.until_state(job.name, job_pb2.JOB_STATE_COMPLETED)
    # The same request once more does nothing, even now.
    repeated = (await farm.client.RetryJob(request)).job
    assert repeated.state == job_pb2.JOB_STATE_COMPLETED
    error = await _error(farm.client.RetryJob(pb.RetryJobRequest(name=job.name)))
    assert isinstance(error, FailedPreconditionError)


async def test_a_cancelled_job_begins_again_with_a_new_ttl(farm: Farm) -> None:
    request = farm.request()
    request.job.ttl.FromSeconds(100)
    job = (await farm.client.CreateJob(request)).job
    await _cancel(farm, job)
    await farm.pass_time(seconds=90)
    await farm.client.RetryJob(pb.RetryJobRequest(name=job.name))
    await farm.pass_time(seconds=90)
    assert (await farm.get(job.name)).state == job_pb2.JOB_STATE_PENDING
    await farm.pass_time(seconds=11)
    await farm.until_state(job.name, job_pb2.JOB_STATE_FAILED)


async def test_what_a_retry_refuses(farm: Farm) -> None:
    job = await farm.job()
    pending = await _error(farm.client.RetryJob(pb.RetryJobRequest(name=job.name)))
    assert isinstance(pending, FailedPreconditionError)
    await _cancel(farm, job)
    creation = farm.request()
    creation.request_id = "taken"
    await farm.client.CreateJob(creation)
    taken = pb.RetryJobRequest(name=job.name, request_id="taken")
    assert isinstance(await _error(farm.client.RetryJob(taken)), AlreadyExistsError)
    farm.objects.stored.clear()
    gone = await _error(farm.client.RetryJob(pb.RetryJobRequest(name=job.name)))
    assert isinstance(gone, NotFoundError)
    assert "source" in gone.message
    deleted = await farm.job()
    await _cancel(farm, deleted)
    await farm.client.DeleteJob(pb.DeleteJobRequest(name=deleted.name))
    error = await _error(farm.client.RetryJob(pb.RetryJobRequest(name=deleted.name)))
    assert "was deleted" in error.message


# --- update ----------------------------------------------------------------------------------


def _update(job: job_pb2.Job, *paths: str, **values: object) -> pb.UpdateJobRequest:
    return pb.UpdateJobRequest(
        job=job_pb2.Job(name=job.name, **values),  # type: ignore[arg-type]
        update_mask=FieldMask(paths=paths),
    )


async def test_a_waiting_job_takes_new_values(farm: Farm) -> None:
    first, second = await farm.job(), await farm.job()
    request = _update(
        second, "priority", "labels", "max_retries", "deadline", priority=9,
        labels={"show": "Big one"}, max_retries=99,
    )  # fmt: skip
    request.job.deadline.FromDatetime(farm.clock.now() + timedelta(hours=1))
    changed = (await farm.client.UpdateJob(request)).job
    assert changed.priority == 9
    assert changed.labels == {"show": "Big one"}
    assert changed.max_retries == 10  # the server's cap
    assert changed.HasField("deadline")
    assert changed.etag != second.etag
    cleared = (await farm.client.UpdateJob(_update(second, "deadline"))).job
    assert not cleared.HasField("deadline")
    engine = await farm.engine()
    assert second.name in (await engine.next_assignment()).attempt
    found = await farm.client.ListJobs(pb.ListJobsRequest(filter='labels.show = "Big one"'))
    assert [j.name for j in found.jobs] == [second.name]
    assert first.name


async def test_another_profile_and_tags_change_what_is_needed(farm: Farm) -> None:
    job = await farm.job(profile="profiles/av1-720p")
    engine = await farm.engine(encoders=["libx264", "aac"])
    await engine.probe()
    await farm.until(job.name, lambda j: "none has" in j.wait_reason)
    request = _update(job, "profile", profile="profiles/h264-720p")
    request.container = profile_pb2.CONTAINER_MKV
    changed = (await farm.client.UpdateJob(request)).job
    assert changed.profile == "profiles/h264-720p"
    assert changed.profile_spec.container == profile_pb2.CONTAINER_MKV
    work = await engine.next_assignment()
    assert work.transcode.profile.name == "profiles/h264-720p"
    error = await _error(farm.client.UpdateJob(request))
    assert isinstance(error, FailedPreconditionError)
    assert "pause it first" in error.message
    tagged = await farm.job()
    await farm.client.UpdateJob(_update(tagged, "engine_tags", engine_tags=["gpu"]))
    waits = (await farm.get(tagged.name)).wait_reason
    assert "tag gpu" in waits


async def test_an_old_etag_is_refused(farm: Farm) -> None:
    job = await farm.job()
    await farm.client.UpdateJob(_update(job, "priority", priority=1, etag=job.etag))
    error = await _error(farm.client.UpdateJob(_update(job, "priority", priority=2, etag=job.etag)))
    assert isinstance(error, StaleEtagError)
    assert (await farm.get(job.name)).priority == 1


@pytest.mark.parametrize(
    ("paths", "values", "field"),
    [
        ((), {}, "update_mask"),
        (("state",), {}, "update_mask"),
        (("source",), {}, "update_mask"),
        (("priority",), {"priority": 101}, "job.priority"),
        (("max_retries",), {"max_retries": -1}, "job.max_retries"),
        (("labels",), {"labels": {"Bad Key": ""}}, "job.labels"),
        (("engine_tags",), {"engine_tags": ["a b"]}, "job.engine_tags"),
        (("profile",), {}, "job.profile"),
    ],
)
async def test_bad_updates_are_named(
    farm: Farm, paths: tuple[str, ...], values: dict[str, object], field: str
) -> None:
    job = await farm.job()
    error = await _error(farm.client.UpdateJob(_update(job, *paths, **values)))
    assert isinstance(error, InvalidArgumentError)
    assert error.field == field
    assert (await farm.get(job.name)).etag == job.etag


async def test_what_an_update_refuses(farm: Farm) -> None:
    job = await farm.job()
    unknown = _update(job, "profile", profile="profiles/nope")
    assert isinstance(await _error(farm.client.UpdateJob(unknown)), UnknownProfileError)
    await farm.pass_time(seconds=100)
    short = _update(job, "ttl")
    short.job.ttl.FromSeconds(50)
    error = await _error(farm.client.UpdateJob(short))
    assert isinstance(error, InvalidArgumentError)
    assert error.field == "job.ttl"
    await _cancel(farm, job)
    late = await _error(farm.client.UpdateJob(_update(job, "priority", priority=1)))
    assert isinstance(late, FailedPreconditionError)
    labelled = (await farm.client.UpdateJob(_update(job, "labels", labels={"a": "b"}))).job
    assert labelled.labels == {"a": "b"}


# --- delete ----------------------------------------------------------------------------------


async def test_a_deleted_job_is_read_by_name_until_its_retention_ends(farm: Farm) -> None:
    job = await farm.job()
    running = await _error(farm.client.DeleteJob(pb.DeleteJobRequest(name=job.name)))
    assert isinstance(running, FailedPreconditionError)
    await _cancel(farm, job)
    deleted = (await farm.client.DeleteJob(pb.DeleteJobRequest(name=job.name))).job
    assert deleted.HasField("delete_time")
    again = (await farm.client.DeleteJob(pb.DeleteJobRequest(name=job.name))).job
    assert again.delete_time == deleted.delete_time
    assert not (await farm.client.ListJobs(pb.ListJobsRequest())).jobs
    shown = await farm.client.ListJobs(pb.ListJobsRequest(show_deleted=True))
    assert [j.name for j in shown.jobs] == [job.name]
    await farm.pass_time(days=29)
    assert (await farm.get(job.name)).HasField("delete_time")
    with pytest.raises(DistconvError) as caught, translated():
        async for _ in _until_gone(farm, job):
            pass
    assert isinstance(caught.value, NotFoundError)


async def _until_gone(farm: Farm, job: job_pb2.Job):
    await farm.pass_time(days=2)
    while True:
        yield await farm.get(job.name)


async def test_an_output_goes_with_its_job_when_asked(farm: Farm) -> None:
    engine = await farm.engine()
    kept = await _completed(farm, engine)
    await farm.client.DeleteJob(pb.DeleteJobRequest(name=kept.name))
    dropped = await _completed(farm, engine)
    await farm.client.DeleteJob(pb.DeleteJobRequest(name=dropped.name, delete_output=True))
    await farm.until_deleted(dropped.output.object.removeprefix("objects/"))
    assert kept.output.object.removeprefix("objects/") not in farm.objects.deleted


async def test_requests_are_forgotten_in_time(tmp_path) -> None:
    async with open_farm(tmp_path, request_retention_s=60) as farm:
        request = farm.request()
        request.request_id = "r"
        first = (await farm.client.CreateJob(request)).job
        assert (await farm.client.CreateJob(request)).job.name == first.name
        await farm.pass_time(hours=2)
        name = first.name
        while name == first.name:
            name = (await farm.client.CreateJob(request)).job.name


# --- assign ----------------------------------------------------------------------------------


async def test_an_assigned_job_waits_for_its_engine(farm: Farm) -> None:
    chosen = await farm.engine()
    blocker = await farm.job()
    held = await chosen.next_assignment()
    job = await _pause(farm, await farm.job())
    idle = await farm.engine()
    shortened = chosen.name[: len("engines/") + 15]
    request = pb.AssignJobRequest(name=job.name, engine=shortened)
    assert isinstance(await _error(farm.client.AssignJob(request)), NotFoundError)
    request.engine = chosen.name
    await farm.client.AssignJob(request)
    await _resume(farm, job)
    other = await farm.job()
    assert other.name in (await idle.next_assignment()).attempt
    assert "busy" in (await farm.get(job.name)).wait_reason
    await _cancel(farm, blocker)
    await chosen.tell(chosen.outcome(held, "cancelled"))
    assert job.name in (await chosen.next_assignment()).attempt


async def test_an_assignment_can_be_taken_back(farm: Farm) -> None:
    away = await farm.engine()
    here = await farm.engine()
    job = await farm.job()
    paused = await _pause(farm, job)
    await farm.client.AssignJob(pb.AssignJobRequest(name=job.name, engine=away.name))
    await away.vanish()
    await _resume(farm, paused)
    request = pb.AssignJobRequest(name=job.name)
    await farm.client.AssignJob(request)
    assert job.name in (await here.next_assignment()).attempt


async def test_what_an_assignment_refuses(farm: Farm) -> None:
    weak = await farm.engine(encoders=["libx264", "aac"])
    job = await farm.job(profile="profiles/av1-720p")
    await weak.probe()
    request = pb.AssignJobRequest(name=job.name, engine=weak.name)
    lacks = await _error(farm.client.AssignJob(request))
    assert isinstance(lacks, FailedPreconditionError)
    assert "it lacks libopus, libsvtav1" in lacks.message
    request.engine = "engines/zzz"
    assert isinstance(await _error(farm.client.AssignJob(request)), NotFoundError)
    await farm.client.RevokeEngine(pb.RevokeEngineRequest(name=weak.name))
    request.engine = weak.name
    assert "revoked" in (await _error(farm.client.AssignJob(request))).message
    await _cancel(farm, job)
    engine = await farm.engine()
    other, _ = await _encoding(farm, engine)
    running = pb.AssignJobRequest(name=other.name, engine=engine.name)
    error = await _error(farm.client.AssignJob(running))
    assert isinstance(error, FailedPreconditionError)
    assert "is on engine" in error.message


# --- history ---------------------------------------------------------------------------------


async def test_a_history_tells_every_move_and_every_attempt(farm: Farm) -> None:
    engine = await farm.engine()
    job, work = await _encoding(farm, engine)
    await engine.tell(engine.failed(work, retryable=False))
    await farm.until_state(job.name, job_pb2.JOB_STATE_FAILED)
    history = await farm.client.GetJobHistory(pb.GetJobHistoryRequest(name=job.name))
    assert [t.event for t in history.transitions] == [
        "CREATED", "TASK_ASSIGNED", "TASK_DONE", "TASK_ASSIGNED", "ENCODING_STARTED", "GIVEN_UP",
    ]  # fmt: skip
    assert history.transitions[0].from_state == job_pb2.JOB_STATE_UNSPECIFIED
    assert all(t.cause and t.HasField("time") for t in history.transitions)
    # The clock stood still: which of the two came first it cannot tell.
    by_state = {attempt.state: attempt.name for attempt in history.attempts}
    assert by_state.keys() == {
        job_pb2.ATTEMPT_STATE_SUCCEEDED,
        job_pb2.ATTEMPT_STATE_FAILED,
    }
    assert history.transitions[2].attempt == by_state[job_pb2.ATTEMPT_STATE_SUCCEEDED]
    missing = pb.GetJobHistoryRequest(name="jobs/zzz")
    assert isinstance(await _error(farm.client.GetJobHistory(missing)), NotFoundError)


async def test_a_ttl_of_the_server_holds_for_jobs_that_name_none(tmp_path: Path) -> None:
    async with open_farm(tmp_path, default_job_ttl_s=3600) as farm:
        plain = await farm.job()
        own = farm.request()
        own.job.ttl.seconds = 7200
        longer = (await farm.client.CreateJob(own)).job
        assert plain.ttl.seconds == 3600
        await _pause(farm, plain)
        await farm.pass_time(seconds=3601)
        expired = await farm.until_state(plain.name, job_pb2.JOB_STATE_FAILED)
        assert expired.error.reason == "EXPIRED"
        assert (await farm.get(longer.name)).state == job_pb2.JOB_STATE_PENDING
        # What has ended is passed over by whoever looks for the next to expire.
        record = await farm.store.get_job(expired.name.removeprefix("jobs/"))
        assert record is not None
        assert record.expire_time is None


async def test_a_tenant_pays_once_for_a_job_cancelled_and_retried_over_and_over(farm: Farm) -> None:
    await farm.job()
    job = await farm.job()
    (before,) = [t.finish_rank for t in await farm.store.list_accounts()]
    for _ in range(3):
        await _cancel(farm, job)
        await farm.client.RetryJob(pb.RetryJobRequest(name=job.name))
    (after,) = [t.finish_rank for t in await farm.store.list_accounts()]
    assert after == pytest.approx(before)


async def test_a_tenant_is_not_charged_for_what_expired_before_an_engine_had_it(farm: Farm) -> None:
    request = farm.request()
    request.job.ttl.seconds = 60
    job = (await farm.client.CreateJob(request)).job
    await farm.pass_time(seconds=61)
    await farm.until_state(job.name, job_pb2.JOB_STATE_FAILED)
    assert [t.finish_rank for t in await farm.store.list_accounts()] == [0]
