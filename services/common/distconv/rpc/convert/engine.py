"""EngineCapabilities and EngineMetrics ↔ their messages."""

from distconv.core.engine import EngineCapabilities, EngineMetrics, TranscoderInfo
from distconv.rpc.convert.plain import finite, printable
from distconv.v1 import engine_pb2 as pb

# As long as what it is compared with can be kept.
_MAX_BUILD_ID = 128


def capabilities(value: EngineCapabilities) -> pb.EngineCapabilities:
    """Convert what an engine can do to its message."""
    return pb.EngineCapabilities(
        transcoders=[_transcoder(tool) for tool in value.transcoders],
        tags=value.tags,
        cpu_count=value.cpu_count,
        cpu_model=value.cpu_model,
        memory_bytes=value.memory_bytes,
        scratch_bytes=value.scratch_bytes,
        platform=value.platform,
        architecture=value.architecture,
    )


def to_capabilities(message: pb.EngineCapabilities) -> EngineCapabilities:
    """Convert a message to what an engine can do."""
    return EngineCapabilities(
        transcoders=tuple(_to_transcoder(tool) for tool in message.transcoders),
        tags=tuple(message.tags),
        cpu_count=message.cpu_count,
        cpu_model=message.cpu_model,
        memory_bytes=message.memory_bytes,
        scratch_bytes=message.scratch_bytes,
        platform=message.platform,
        architecture=message.architecture,
    )


def metrics(value: EngineMetrics) -> pb.EngineMetrics:
    """Convert what an engine measured to its message."""
    return pb.EngineMetrics(
        cpu_fraction=value.cpu_fraction,
        memory_used_bytes=value.memory_used_bytes,
        scratch_free_bytes=value.scratch_free_bytes,
        load_1m=value.load_1m,
    )


def to_metrics(message: pb.EngineMetrics) -> EngineMetrics:
    """Convert a message to what an engine measured."""
    return EngineMetrics(
        cpu_fraction=finite(message.cpu_fraction),
        memory_used_bytes=message.memory_used_bytes,
        scratch_free_bytes=message.scratch_free_bytes,
        load_1m=finite(message.load_1m),
    )


def _transcoder(value: TranscoderInfo) -> pb.TranscoderInfo:
    return pb.TranscoderInfo(
        name=value.name,
        version=value.version,
        build_id=value.build_id,
        encoders=value.encoders,
        decoders=value.decoders,
        muxers=value.muxers,
        demuxers=value.demuxers,
    )


def _to_transcoder(message: pb.TranscoderInfo) -> TranscoderInfo:
    return TranscoderInfo(
        name=message.name,
        version=message.version,
        build_id=printable(message.build_id[:_MAX_BUILD_ID]),
        encoders=tuple(message.encoders),
        decoders=tuple(message.decoders),
        muxers=tuple(message.muxers),
        demuxers=tuple(message.demuxers),
    )
