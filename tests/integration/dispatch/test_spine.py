"""The main road: create, probe, transcode, verify, publish."""

from distconv.core.names import parse_attempt
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import engine_service_pb2 as session_pb
from distconv.v1 import job_pb2

from .conftest import SHA, SOURCE_BYTES, Farm


async def test_a_job_goes_from_create_to_completed(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    assert job.state == job_pb2.JOB_STATE_PENDING
    assert job.source.size_bytes == 1000

    probe = await engine.next_assignment()
    assert probe.fencing_token == 1
    assert probe.probe.source.object == job.source.object
    assert probe.probe.size_bytes == 1000
    await engine.reply(probe)
    assert (await engine.tell(engine.probed(probe))).accepted

    work = await engine.next_assignment()
    assert work.transcode.media.container == "matroska"
    assert work.transcode.profile.name == "profiles/h264-720p"
    assert work.transcode.sink.object not in ("", job.source.object)
    await engine.reply(work)
    await engine.beat(engine.report(work, session_pb.ATTEMPT_PHASE_ENCODING, 10))
    running = await farm.until_state(job.name, job_pb2.JOB_STATE_TRANSCODING)
    assert running.engine == engine.name
    assert running.progress.frame_count == 10
    await engine.beat(engine.report(work, session_pb.ATTEMPT_PHASE_FINISHING, 50))
    await farm.until_state(job.name, job_pb2.JOB_STATE_COMPLETING)

    object_id = farm.store_output(work)
    assert (await engine.tell(engine.transcoded(work))).accepted
    done = await farm.get(job.name)
    assert done.state == job_pb2.JOB_STATE_COMPLETED
    assert done.output.object == f"objects/{object_id}"
    assert done.output.sha256 == SHA
    assert done.engine == ""
    assert done.progress.fraction == 1.0
    assert done.progress.written_bytes == done.output.size_bytes
    assert not done.progress.HasField("eta")
    assert done.HasField("start_time")
    assert done.HasField("end_time")

    tasks = await farm.tasks(job.name)
    assert [t.state for t in tasks] == [job_pb2.TASK_STATE_SUCCEEDED] * 2
    assert tasks[1].depends_on == [tasks[0].name]
    assert "free slot" in tasks[0].attempts[0].decision
    history = await farm.store.list_transitions(job.name.removeprefix("jobs/"))
    assert [t.event for t in history] == [
        "CREATED",
        "TASK_ASSIGNED",
        "TASK_DONE",
        "TASK_ASSIGNED",
        "ENCODING_STARTED",
        "ENCODING_ENDED",
        "RESULT_ACCEPTED",
    ]


async def test_a_result_may_be_told_again_but_not_changed(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    await engine.probe()
    work = await engine.next_assignment()
    farm.store_output(work)
    result = engine.transcoded(work)
    assert (await engine.tell(result)).accepted
    assert (await engine.tell(result)).accepted
    assert not (await engine.tell(engine.failed(work, retryable=True))).accepted
    other = engine.transcoded(work)
    other.transcode.object = f"objects/{farm.new_id()}"
    assert not (await engine.tell(other)).accepted
    stale = engine.transcoded(work)
    stale.fencing_token += 1
    assert not (await engine.tell(stale)).accepted
    assert (await farm.get(job.name)).state == job_pb2.JOB_STATE_COMPLETED


async def test_another_engines_word_does_not_count(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    probe = await engine.next_assignment()
    liar = await farm.engine()
    assert not (await liar.tell(liar.probed(probe))).accepted
    assert (await liar.beat(liar.report(probe))).stale_attempts == [probe.attempt]
    assert (await engine.beat(engine.report(probe))).renewals
    assert (await farm.get(job.name)).state == job_pb2.JOB_STATE_ASSIGNED


async def test_an_output_that_storage_does_not_confirm_is_not_published(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job(max_retries=0)
    await engine.probe()
    work = await engine.next_assignment()
    object_id = farm.store_output(work, sha256="cd" * 32)
    assert not (await engine.tell(engine.transcoded(work))).accepted
    failed = await farm.get(job.name)
    assert failed.state == job_pb2.JOB_STATE_FAILED
    assert failed.error.reason == "VERIFICATION_FAILED"
    await farm.pass_time(seconds=1)
    await farm.until_deleted(object_id)


async def test_counts_are_checked_anew(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job(max_retries=0)
    await engine.probe()
    work = await engine.next_assignment()
    farm.store_output(work)
    result = engine.transcoded(work)
    result.transcode.output_census.streams[0].packet_count = 40
    assert not (await engine.tell(result)).accepted
    assert "not whole" in (await farm.get(job.name)).error.message


async def test_a_result_of_another_kind_is_a_failed_attempt(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job(max_retries=0)
    await engine.probe()
    work = await engine.next_assignment()
    assert (await engine.tell(engine.probed(work))).accepted  # noted, and not to be told again
    failed = await farm.get(job.name)
    assert failed.state == job_pb2.JOB_STATE_FAILED
    assert "with the result of a probe" in failed.error.message


async def test_a_result_waits_for_storage_and_is_not_lost(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    await engine.probe()
    work = await engine.next_assignment()
    farm.store_output(work)
    farm.objects.away = True
    await engine.say(session_pb.EngineMessage(attempt_result=engine.transcoded(work)))
    await farm.until_state(job.name, job_pb2.JOB_STATE_COMPLETING)
    ack = await engine.beat(engine.report(work, session_pb.ATTEMPT_PHASE_ENDED))
    assert [r.attempt for r in ack.renewals] == [work.attempt]
    farm.objects.away = False
    assert (await engine.tell(engine.transcoded(work))).accepted
    assert (await farm.get(job.name)).state == job_pb2.JOB_STATE_COMPLETED


async def test_the_log_of_an_attempt_is_kept(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    probe = await engine.next_assignment()
    await engine.say(
        session_pb.EngineMessage(
            log_excerpt=session_pb.LogExcerpt(attempt=probe.attempt, lines=["x" * 2000] * 300)
        )
    )
    await engine.tell(engine.failed(probe, retryable=False, reason="CORRUPT_SOURCE"))
    attempt = (await farm.tasks(job.name))[0].attempts[0]
    assert len(attempt.log_excerpt) == 200
    assert len(attempt.log_excerpt[0]) == 1000
    assert parse_attempt(attempt.name).job == job.name.removeprefix("jobs/")


async def test_server_info_says_what_is_not_served(farm: Farm) -> None:
    await farm.engine()
    info = await farm.client.GetServerInfo(pb.GetServerInfoRequest())
    assert info.online_engine_count == 1
    assert "distconv.v1.EngineService.RegisterEngine" in info.unimplemented_methods
    assert info.max_source_bytes == 1 << 40


async def test_a_job_on_an_upload_is_worked_on_and_published_once_that_is_whole(
    farm: Farm,
) -> None:
    engine = await farm.engine()
    job = await farm.job(source=farm.source(committed=False))
    await engine.probe()
    work = await engine.next_assignment()
    farm.store_output(work)
    object_id = work.transcode.source.object.removeprefix("objects/")
    farm.objects.put(object_id, size_bytes=SOURCE_BYTES, sha256=SHA)
    result = engine.transcoded(work)
    result.transcode.source_wait.FromSeconds(7)
    assert (await engine.tell(result)).accepted
    assert (await farm.get(job.name)).state == job_pb2.JOB_STATE_COMPLETED


async def test_what_was_made_of_an_upload_that_is_not_whole_is_not_published(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job(source=farm.source(committed=False))
    await engine.probe()
    work = await engine.next_assignment()
    farm.store_output(work)
    assert not (await engine.tell(engine.transcoded(work))).accepted
    held = await farm.get(job.name)
    assert held.state == job_pb2.JOB_STATE_RETRYING
    assert held.error.reason == "VERIFICATION_FAILED"
    assert "is not wholly uploaded" in held.error.message
    assert not held.HasField("output")


async def test_a_job_whose_upload_fails_fails_at_once_and_says_so(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job(source=farm.source(committed=False))
    probe = await engine.next_assignment()
    await engine.tell(engine.failed(probe, retryable=False, reason="UPLOAD_FAILED"))
    failed = await farm.get(job.name)
    assert failed.state == job_pb2.JOB_STATE_FAILED
    assert failed.error.reason == "UPLOAD_FAILED"
