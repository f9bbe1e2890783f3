"""Engine and server messages → values."""

from distconv.client.convert.enums import by_name
from distconv.client.engine import BenchmarkResult, Engine
from distconv.client.server import ServerInfo
from distconv.core.engine import EngineState
from distconv.rpc.convert.engine import to_capabilities, to_metrics
from distconv.rpc.convert.times import optional_time
from distconv.v1 import dispatch_service_pb2 as dispatch
from distconv.v1 import engine_pb2 as pb


def to_engine(message: pb.Engine) -> Engine:
    """Convert a message to an engine."""
    return Engine(
        name=message.name,
        display_name=message.display_name,
        state=by_name(pb.EngineState.Name, message.state, EngineState, "ENGINE_STATE_"),
        version=message.version,
        capabilities=to_capabilities(message.capabilities),
        slot_count=message.slot_count,
        busy_slot_count=message.busy_slot_count,
        metrics=to_metrics(message.metrics) if message.HasField("metrics") else None,
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
        maintenance=message.maintenance,
        quarantine_expire_time=optional_time(message, "quarantine_expire_time"),
        quarantine_reason=message.quarantine_reason,
        strike_count=message.strike_count,
        replica=message.replica,
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
