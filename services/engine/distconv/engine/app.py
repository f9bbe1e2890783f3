"""Put an engine together: the tool, the runners, the supervisor, the session."""

import asyncio
from dataclasses import replace

from distconv.core.clock import SystemClock
from distconv.core.engine import EngineCapabilities, TranscoderInfo
from distconv.core.ids import new_id
from distconv.engine import wire
from distconv.engine.benchmarker import Benchmarker
from distconv.engine.monitor import ResourceMonitor, find_monitors
from distconv.engine.runner.config import RunnerConfig
from distconv.engine.runner_pool import RunnerPool
from distconv.engine.runner_process import RunnerProcess
from distconv.engine.scratch import Scratch
from distconv.engine.session import Session
from distconv.engine.settings import EngineSettings
from distconv.engine.supervisor import Supervisor
from distconv.engine.transcoder import find_transcoder
from distconv.process.command import tell_ready
from distconv.process.data_dir import owned
from distconv.process.identity import load_or_make_id
from distconv.rpc.convert.engine import metrics
from distconv.rpc.tls import load_ca


async def serve(settings: EngineSettings, *, stop: asyncio.Event) -> int:
    """Run an engine until `stop`; return its exit code.

    Raises the tree's errors when it cannot start, or must not go on.
    """
    # Two engines of one identity would throw each other out of dispatch for ever.
    with owned(settings.data_dir, "engine"):
        engine_id = load_or_make_id(settings.data_dir, "engine", SystemClock())
        scratch = Scratch(
            settings.scratch_dir or settings.data_dir / "scratch",
            quota_bytes=settings.scratch_quota_bytes,
        )
        await asyncio.to_thread(scratch.open)
        try:
            return await _serve(settings, stop, engine_id, scratch)
        finally:
            await asyncio.to_thread(scratch.close)


async def _serve(
    settings: EngineSettings, stop: asyncio.Event, engine_id: str, scratch: Scratch
) -> int:
    instance_id = new_id(SystemClock().now())
    transcoder = await find_transcoder("ffmpeg").detect(settings.ffmpeg)
    tls_ca = load_ca(settings.tls_ca)
    config = RunnerConfig(
        transcoder="ffmpeg",
        transcoder_state=dict(transcoder.state()),
        log_level=settings.log_level,
        progress_interval_s=settings.progress_interval_s,
        media_patience_s=settings.media_patience_s,
        upload_window_bytes=settings.upload_window_bytes,
        read_ahead_bytes=settings.read_ahead_bytes,
        tls_ca=None if tls_ca is None else tls_ca.decode("ascii", errors="replace"),
        direct_reads=settings.direct_reads,
        direct_read_bytes=settings.direct_read_bytes,
        direct_writes=settings.direct_writes,
        scratch_folder=str(scratch.folder),
        shared_folders=list(settings.shared_folders),
    ).to_bytes()
    # Two more than there are slots: the next job's probe and its encode follow at once, while the
    # runner of the one before is still being replaced.
    pool = RunnerPool(lambda: RunnerProcess.spawn(config), total=settings.slots + 2)
    pool.fill()
    supervisor = Supervisor(
        pool, slots=settings.slots, cancel_grace_s=settings.cancel_grace_s, scratch=scratch
    )
    monitor = find_monitors()["psutil"]()
    benchmarker = Benchmarker(
        transcoder,
        supervisor,
        clock=SystemClock(),
        budget_s=settings.benchmark_budget_s,
        on_result=supervisor.changed.set,
    )
    session = Session(
        supervisor,
        benchmarker=benchmarker,
        addresses=settings.dispatch_addresses,
        describe=lambda: wire.hello(
            engine_id=engine_id,
            instance_id=instance_id,
            display_name=settings.display_name,
            slot_count=settings.slots,
            can=_capabilities(settings, monitor, transcoder.info, scratch),
        ),
        measure=lambda: metrics(replace(monitor.measure(), scratch_free_bytes=scratch.free_bytes)),
        on_ready=lambda engine, address: tell_ready(engine=engine, dispatch=address),
        progress_interval_s=settings.progress_interval_s,
        reconnect_s=(settings.reconnect_min_s, settings.reconnect_max_s),
        tls_ca=tls_ca,
    )
    measuring = asyncio.create_task(benchmarker.run(), name="benchmarker")
    try:
        await session.run(stop)
    finally:
        measuring.cancel()
        await asyncio.wait([measuring])
        await supervisor.shut_down()
    return 0


def _capabilities(
    settings: EngineSettings, monitor: ResourceMonitor, tool: TranscoderInfo, scratch: Scratch
) -> EngineCapabilities:
    machine = monitor.machine()
    return EngineCapabilities(
        transcoders=(tool,),
        tags=settings.tags,
        cpu_count=machine.cpu_count,
        cpu_model=machine.cpu_model,
        memory_bytes=machine.memory_bytes,
        scratch_bytes=scratch.quota_bytes,
        platform=machine.platform,
        architecture=machine.architecture,
    )
