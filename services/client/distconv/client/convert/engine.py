"""Engine and server messages → values."""

from distconv.client.convert.enums import by_name
from distconv.client.convert.times import optional_time
from distconv.client.engine import (
    BenchmarkResult,
    Engine,
    EngineCapabilities,
    EngineMetrics,
    EngineState,
    TranscoderInfo,
)
from distconv.client.server import ServerInfo
from distconv.v1 import dispatch_service_pb2 as dispatch
from distconv.v1 import engine_pb2 as pb


def to_engine(message: pb.Engine) -> Engine:
    """Convert a message to an engine."""
    return Engine(
        name=message.name,
        display_name=message.display_name,
        state=by_name(pb.EngineState.Name, message.state, EngineState, "ENGINE_STATE_"),
        version=message.version,
        capabilities=_to_capabilities(message.capabilities),
        slot_count=message.slot_count,
        busy_slot_count=message.busy_slot_count,
        metrics=_to_metrics(message.metrics) if message.HasField("metrics") else None,
        attempts=tuple(message.attempts),
        benchmarks=tuple(
            BenchmarkResult(
                codec=b.codec,
                height=b.height,
                fps=b.fps,
                build_id=b.build_id,
                measure_time=optional_time(b, "measure_time"),
            )
            for b in message.benchmarks
        ),
        create_time=optional_time(message, "create_time"),
        connect_time=optional_time(message, "connect_time"),
        heartbeat_time=optional_time(message, "heartbeat_time"),
    )


def to_server_info(message: dispatch.GetServerInfoResponse) -> ServerInfo:
    """Convert what a server says of itself."""
    return ServerInfo(
        version=message.version,
        storage_addresses=tuple(message.storage_addresses),
        unimplemented_methods=tuple(message.unimplemented_methods),
        max_source_bytes=message.max_source_bytes,
        online_engine_count=message.online_engine_count,
    )


def _to_capabilities(message: pb.EngineCapabilities) -> EngineCapabilities:
    return EngineCapabilities(
        transcoders=tuple(
            TranscoderInfo(
                name=t.name,
                version=t.version,
                build_id=t.build_id,
                encoders=tuple(t.encoders),
                decoders=tuple(t.decoders),
                muxers=tuple(t.muxers),
                demuxers=tuple(t.demuxers),
            )
            for t in message.transcoders
        ),
        tags=tuple(message.tags),
        cpu_count=message.cpu_count,
        cpu_model=message.cpu_model,
        memory_bytes=message.memory_bytes,
        scratch_bytes=message.scratch_bytes,
        platform=message.platform,
        architecture=message.architecture,
    )


def _to_metrics(message: pb.EngineMetrics) -> EngineMetrics:
    return EngineMetrics(
        cpu_fraction=message.cpu_fraction,
        memory_used_bytes=message.memory_used_bytes,
        scratch_free_bytes=message.scratch_free_bytes,
        load_1m=message.load_1m,
    )
