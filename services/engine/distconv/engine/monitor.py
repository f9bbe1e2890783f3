"""The port through which an engine measures its machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol

from distconv.core.engine import EngineMetrics

GROUP = "distconv.monitors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a machine is."""

    cpu_count: int
    cpu_model: str
    memory_bytes: int
    platform: str
    architecture: str


class ResourceMonitor(Protocol):
    """Measure a machine; quick enough for the event loop (under a millisecond)."""

    def machine(self) -> Machine:
        """Return what the machine is."""
        ...

    def measure(self) -> EngineMetrics:
        """Return what it does now; of the scratch disk it knows nothing.

        `cpu_fraction` is over the time since the last call.
        """
        ...


def find_monitors() -> Mapping[str, type[ResourceMonitor]]:
    """Return the installed monitors by name."""
    return {point.name: point.load() for point in entry_points(group=GROUP)}
