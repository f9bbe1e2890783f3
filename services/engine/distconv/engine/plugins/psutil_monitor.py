"""Measure a machine with psutil."""

import os
import platform
import sys
from pathlib import Path

import psutil

from distconv.core.engine import EngineMetrics
from distconv.engine.monitor import Machine


class PsutilMonitor:
    """Measure a machine with psutil."""

    def __init__(self) -> None:
        psutil.cpu_percent(interval=None)  # the first call has nothing to compare with

    def machine(self) -> Machine:
        """Return what the machine is."""
        return Machine(
            cpu_count=os.cpu_count() or 1,
            cpu_model=_cpu_model(),
            memory_bytes=psutil.virtual_memory().total,
            platform=sys.platform,
            architecture=platform.machine(),
        )

    def measure(self) -> EngineMetrics:
        """Return what it does now."""
        memory = psutil.virtual_memory()
        return EngineMetrics(
            cpu_fraction=psutil.cpu_percent(interval=None) / 100,
            memory_used_bytes=memory.total - memory.available,
            load_1m=os.getloadavg()[0],
        )


def _cpu_model() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
