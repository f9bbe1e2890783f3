"""Engines as a client sees them."""

from dataclasses import dataclass
from datetime import datetime

from distconv.core.engine import EngineCapabilities, EngineMetrics, EngineState
from distconv.core.names import bare


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
    """A machine that does the work, as the server knew it at one moment.

    `maintenance` says that an operator took it out of service, which holds
    while it is offline too. `quarantine_expire_time` and `quarantine_reason` are
    set while it is given no work because it failed what others completed;
    `strike_count` counts such failures. `replica` is the dispatch process that
    holds its session.
    """

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
    maintenance: bool = False
    quarantine_expire_time: datetime | None = None
    quarantine_reason: str = ""
    strike_count: int = 0
    replica: str = ""

    @property
    def id(self) -> str:
        """Return the name without its collection."""
        return bare(self.name, "engines")
