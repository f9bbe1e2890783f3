"""Engines as a client sees them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EngineState(StrEnum):
    """Where an engine stands."""

    ONLINE = "ONLINE"
    DRAINING = "DRAINING"
    MAINTENANCE = "MAINTENANCE"
    OFFLINE = "OFFLINE"
    REVOKED = "REVOKED"


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscoderInfo:
    """A tool that an engine wraps; the same `build_id` gives the same bytes."""

    name: str
    version: str = ""
    build_id: str = ""
    encoders: tuple[str, ...] = ()
    decoders: tuple[str, ...] = ()
    muxers: tuple[str, ...] = ()
    demuxers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCapabilities:
    """What an engine is and can do."""

    transcoders: tuple[TranscoderInfo, ...] = ()
    tags: tuple[str, ...] = ()
    cpu_count: int = 0
    cpu_model: str = ""
    memory_bytes: int = 0
    scratch_bytes: int = 0
    platform: str = ""
    architecture: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMetrics:
    """What an engine last measured of itself; `cpu_fraction` is 0..1 over all processors."""

    cpu_fraction: float = 0.0
    memory_used_bytes: int = 0
    scratch_free_bytes: int = 0
    load_1m: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult:
    """What a benchmark found for one codec and height (pixels)."""

    codec: str
    height: int
    fps: float
    build_id: str = ""
    measure_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A machine that does the work, as the server knew it at one moment."""

    name: str
    display_name: str
    state: EngineState
    version: str = ""
    capabilities: EngineCapabilities
    slot_count: int = 0
    busy_slot_count: int = 0
    metrics: EngineMetrics | None = None
    attempts: tuple[str, ...] = ()
    benchmarks: tuple[BenchmarkResult, ...] = ()
    create_time: datetime | None = None
    connect_time: datetime | None = None
    heartbeat_time: datetime | None = None

    @property
    def id(self) -> str:
        """Return the name without its collection."""
        return self.name.removeprefix("engines/")
