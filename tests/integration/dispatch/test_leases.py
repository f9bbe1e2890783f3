"""Lost sessions, expired leases, give-backs: the work goes on, and nothing counts twice."""

import asyncio

import grpc

from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import engine_pb2, job_pb2
from distconv.v1 import engine_service_pb2 as session_pb

from .conftest import Farm


async def _transcode(farm: Farm, **more: object) -> tuple[job_pb2.Job, session_pb.Assignment]:
    """Bring a job to its transcode on an engine of its own."""
    engine = await farm.engine("0000000000000001")
    job = await farm.job(**more)
    await engine.probe()
    work = await engine.next_assignment()
    await engine.reply(work)
    await engine.beat(engine.report(work, session_pb.ATTEMPT_PHASE_ENCODING))
    await farm.until_state(job.name, job_pb2.JOB_STATE_TRANSCODING)
    await engine.vanish()
    await _offline(farm, engine.name)
    return job, work


async def _offline(farm: Farm, name: str) -> None:
    async with asyncio.timeout(10):
        while True:
            found = await farm.client.GetEngine(pb.GetEngineRequest(name=name))
            if found.engine.state == engine_pb2.ENGINE_STATE_OFFLINE:
                return


async def test_an_engine_that_comes_back_in_time_goes_on(farm: Farm) -> None:
    job, work = await _transcode(farm)
    assert (await farm.get(job.name)).state == job_pb2.JOB_STATE_TRANSCODING
    await farm.pass_time(seconds=10)
    again = farm.stranger("0000000000000001")
    report = again.report(work, session_pb.ATTEMPT_PHASE_ENCODING, 20)
    welcome = await again.hello(attempts=[report])
    assert not welcome.stale_attempts
    await farm.pass_time(seconds=15)
    farm.store_output(work)
    assert (await again.tell(again.transcoded(work))).accepted
    done = await farm.get(job.name)
    assert done.state == job_pb2.JOB_STATE_COMPLETED
    assert len((await farm.tasks(job.name))[1].attempts) == 1


async def test_a_silent_engine_loses_its_lease_and_what_it_says_later(farm: Farm) -> None:
    job, work = await _transcode(farm)
    await farm.pass_time(seconds=21)
    waiting = await farm.until_state(job.name, job_pb2.JOB_STATE_PENDING)
    assert waiting.retry_count == 0
    assert "no engine is connected" in waiting.wait_reason
    other = await farm.engine("0000000000000002")
    second = await other.next_assignment()
    assert second.fencing_token == work.fencing_token + 1
    assert second.transcode.sink.object != work.transcode.sink.object

    late = farm.stranger("0000000000000001")
    late_object = farm.store_output(work)
    welcome = await late.hello(attempts=[late.report(work, session_pb.ATTEMPT_PHASE_ENCODING)])
    assert welcome.stale_attempts == [work.attempt]
    assert not (await late.tell(late.transcoded(work))).accepted
    farm.store_output(second)
    assert (await other.tell(other.transcoded(second))).accepted

    done = await farm.get(job.name)
    assert done.state == job_pb2.JOB_STATE_COMPLETED
    assert done.output.object == second.transcode.sink.object
    states = [a.state for a in (await farm.tasks(job.name))[1].attempts]
    assert states == [job_pb2.ATTEMPT_STATE_LOST, job_pb2.ATTEMPT_STATE_SUCCEEDED]
    await farm.until_deleted(late_object)


async def test_heartbeats_push_the_lease_on(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    probe = await engine.next_assignment()
    await engine.reply(probe)
    for _ in range(5):
        await farm.pass_time(seconds=15)
        ack = await engine.beat(engine.report(probe))
        assert [r.attempt for r in ack.renewals] == [probe.attempt]
    assert (await farm.get(job.name)).state == job_pb2.JOB_STATE_ASSIGNED


async def test_an_engine_that_forgot_its_work_gives_it_back_at_once(farm: Farm) -> None:
    engine = await farm.engine("0000000000000001")
    job = await farm.job()
    first = await engine.next_assignment()
    await engine.reply(first)
    restarted = await farm.engine("0000000000000001")
    assert await engine.code() is grpc.StatusCode.ALREADY_EXISTS
    second = await restarted.next_assignment()
    assert second.fencing_token == 2
    assert (await farm.get(job.name)).retry_count == 0


async def test_a_refusal_gives_back_and_waits_for_the_next_heartbeat(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    first = await engine.next_assignment()
    await engine.reply(first, accepted=False, refusal="all 1 slots are busy")
    await farm.until_state(job.name, job_pb2.JOB_STATE_PENDING)
    await engine.beat()
    second = await engine.next_assignment()
    assert second.fencing_token == 2
    attempts = (await farm.tasks(job.name))[0].attempts
    assert attempts[0].state == job_pb2.ATTEMPT_STATE_RETURNED


async def test_shutdown_of_an_engine_uses_no_retry(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    probe = await engine.next_assignment()
    assert (await engine.tell(engine.outcome(probe, "returned"))).accepted
    waiting = await farm.get(job.name)
    assert waiting.state == job_pb2.JOB_STATE_PENDING
    assert waiting.retry_count == 0
    await engine.beat(draining=True)
    assert "takes no new work" in (await farm.get(job.name)).wait_reason


async def test_a_failure_is_tried_again_elsewhere(farm: Farm) -> None:
    engine = await farm.engine("0000000000000001")
    job = await farm.job()
    await engine.probe()
    other = await farm.engine("0000000000000002")
    work = await engine.next_assignment()
    assert (await engine.tell(engine.failed(work, retryable=True))).accepted
    retrying = await farm.get(job.name)
    assert retrying.state == job_pb2.JOB_STATE_RETRYING
    assert retrying.retry_count == 1
    assert retrying.error.reason == "ENCODE_FAILED"
    assert retrying.HasField("retry_time")
    assert "it broke" in retrying.wait_reason
    await farm.pass_time(seconds=2)
    second = await other.next_assignment()
    assert second.fencing_token == 2
    assert "failed elsewhere" in (await farm.tasks(job.name))[1].attempts[1].decision


async def test_retries_end(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job(max_retries=1)
    for _ in range(2):
        probe = await engine.next_assignment()
        await engine.tell(engine.failed(probe, retryable=True))
        await farm.pass_time(minutes=5)
    failed = await farm.until_state(job.name, job_pb2.JOB_STATE_FAILED)
    assert failed.retry_count == 2
    states = [t.state for t in await farm.tasks(job.name)]
    assert states == [job_pb2.TASK_STATE_FAILED, job_pb2.TASK_STATE_CANCELLED]


async def test_what_no_retry_can_mend_fails_at_once(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job()
    probe = await engine.next_assignment()
    await engine.tell(engine.failed(probe, retryable=False, reason="CORRUPT_SOURCE"))
    failed = await farm.get(job.name)
    assert failed.state == job_pb2.JOB_STATE_FAILED
    assert failed.error.reason == "CORRUPT_SOURCE"


async def test_a_profile_that_does_not_fit_the_source_fails_after_the_probe(farm: Farm) -> None:
    engine = await farm.engine()
    job = await farm.job(profile="profiles/audio-opus")
    await engine.probe()
    failed = await farm.get(job.name)
    assert failed.state == job_pb2.JOB_STATE_FAILED
    assert failed.error.reason == "IMPOSSIBLE_PROFILE"
    assert failed.source.media.container == "matroska"


async def test_a_job_fails_when_its_ttl_ends(farm: Farm) -> None:
    request = farm.request()
    request.job.ttl.FromSeconds(60)
    job = (await farm.client.CreateJob(request)).job
    await farm.pass_time(seconds=61)
    failed = await farm.until_state(job.name, job_pb2.JOB_STATE_FAILED)
    assert failed.error.reason == "EXPIRED"


async def test_no_lease_is_taken_before_the_database_was_back_for_a_whole_one(farm: Farm) -> None:
    job, _ = await _transcode(farm)
    farm.dispatch.circuit.lost("a test took it away")
    await farm.pass_time(minutes=10)
    farm.dispatch.circuit.answered()
    await farm.pass_time(seconds=10)
    assert (await farm.get(job.name)).state == job_pb2.JOB_STATE_TRANSCODING
    await farm.pass_time(seconds=11)
    await farm.until_state(job.name, job_pb2.JOB_STATE_PENDING)
