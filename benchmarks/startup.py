"""How long `dcctl --help` takes, beside an empty Python."""

import statistics
import sys
from collections.abc import Iterator

from benchmarks.result import Result
from benchmarks.system import DCCTL, timed

ROUNDS = 20
BAR_MS = 250.0


def run() -> Iterator[Result]:
    """Yield the median wall time."""
    ours: list[float] = []
    theirs: list[float] = []
    timed([DCCTL, "--help"])  # byte code is written once
    for _ in range(ROUNDS):
        theirs.append(timed([sys.executable, "-c", "pass"])[0] * 1000)
        ours.append(timed([DCCTL, "--help"])[0] * 1000)
    yield Result(
        name="startup",
        value=statistics.median(ours),
        unit="ms",
        reference=statistics.median(theirs),
        bar=BAR_MS,
        bar_on_ratio=False,
        details={"values": ours},
    )
