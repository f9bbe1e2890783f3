"""Explanations and benchmarks over gRPC."""

from tests.integration.dispatch.conftest import Farm, open_farm

from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import engine_pb2
from distconv.v1 import engine_service_pb2 as session_pb


async def _explain(farm: Farm, name: str) -> pb.ExplainJobResponse:
    return await farm.client.ExplainJob(pb.ExplainJobRequest(name=name))


async def test_a_waiting_job_is_told_what_is_missing_and_a_placed_one_why(farm: Farm) -> None:
    job = await farm.job()
    alone = await _explain(farm, job.name)
    assert "no engine is connected" in alone.summary
    engine = await farm.engine(encoders=("libx265",))
    await engine.probe()
    waiting = await _explain(farm, job.name)
    assert "1 engine connected but none has aac, libx264" in waiting.summary
    (fit,) = waiting.engines
    assert (fit.engine, fit.fits) == (engine.name, False)
    assert "it lacks libx264, aac" in fit.reasons or "it lacks aac, libx264" in fit.reasons
    able = await farm.engine()
    await able.next_assignment()
    placed = await _explain(farm, job.name)
    assert f"({able.id})" in placed.summary
    assert "the one engine with a free slot that meets it" in placed.summary


async def test_a_source_is_probed_once(farm: Farm) -> None:
    source = farm.source()
    engine = await farm.engine(slots=2)
    await farm.job(source=source)
    await engine.probe()
    assert (await engine.next_assignment()).HasField("transcode")
    again = await farm.job(source=source)
    assert again.size.pixel_count == 640 * 360 * 50
    assert (await engine.next_assignment()).HasField("transcode")
    (task,) = await farm.tasks(again.name)
    assert task.name


async def test_an_idle_engine_is_asked_and_its_answer_kept(tmp_path) -> None:
    async with open_farm(tmp_path, benchmark_idle_s=0) as farm:
        engine = farm.stranger()
        tool = engine_pb2.TranscoderInfo(
            name="ffmpeg", version="9", build_id="b1", encoders=["libx264"], muxers=["mp4"]
        )
        hello = session_pb.Hello(
            engine_id=engine.id,
            slot_count=1,
            capabilities=engine_pb2.EngineCapabilities(transcoders=[tool]),
        )
        await engine.say(session_pb.EngineMessage(hello=hello))
        asked = (await engine.hear("benchmark_request")).benchmark_request
        assert (list(asked.codecs), list(asked.heights)) == (["h264"], [480, 720, 1080, 2160])
        result = engine_pb2.BenchmarkResult(codec="h264", height=480, fps=50.0, build_id="b1")
        report = session_pb.BenchmarkReport(results=[result])
        await engine.say(session_pb.EngineMessage(benchmark_report=report))
        await engine.beat()  # what was said before it is done
        (kept,) = await farm.store.list_benchmarks(engine.id, limit=10)
        assert (kept.codec, kept.height, kept.fps, kept.build_id) == ("h264", 480, 50.0, "b1")
