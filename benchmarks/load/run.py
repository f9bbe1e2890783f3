"""What pushing jobs through a system took, whichever system it was."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """So many jobs from their first call to the last result read; processor time in seconds."""

    count: int
    took_s: float
    cpu_s: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Return jobs per second."""
        return self.count / self.took_s

    @property
    def cpu_ms_per_job(self) -> dict[str, float]:
        """Return what a job cost in each process, milliseconds."""
        return {name: round(value * 1000 / self.count, 3) for name, value in self.cpu_s.items()}
