"""What an engine is, can do and measures, as values."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class EngineState(StrEnum):
    """Where an engine stands."""

    ONLINE = "ONLINE"
    DRAINING = "DRAINING"
    MAINTENANCE = "MAINTENANCE"
    QUARANTINED = "QUARANTINED"
    OFFLINE = "OFFLINE"
    REVOKED = "REVOKED"

    @property
    def is_absent(self) -> bool:
        """Tell whether nobody expects to hear the engine."""
        return self in ABSENT


# The states of engines that nobody expects to hear.
ABSENT: Final = frozenset({EngineState.OFFLINE, EngineState.REVOKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscoderInfo:
    """A tool that an engine wraps; `build_id` names what gives the same bytes."""

    name: str
    version: str
    build_id: str
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

    @property
    def build_id(self) -> str:
        """Name the build of the engine's tool; empty when it has none."""
        return next((tool.build_id for tool in self.transcoders if tool.build_id), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMetrics:
    """What an engine measures of itself; `cpu_fraction` is 0..1 over all processors."""

    cpu_fraction: float = 0.0
    memory_used_bytes: int = 0
    scratch_free_bytes: int = 0
    load_1m: float = 0.0
