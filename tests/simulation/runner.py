"""Run the worlds of many seeds on several processes, and say what became of them."""

import gc
import multiprocessing
import os
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

from tests.simulation import logs
from tests.simulation.world import Outcome, Shape, run_world

# So many seeds go to a process at a time: enough that handing them over costs nothing.
_BLOCK = 5


def prepare() -> None:
    """Make this process fit to run worlds: no log, and a collector that looks at worlds alone."""
    logs.listen()
    gc.collect()
    gc.freeze()


def run_seed(seed: int, shape: Shape) -> Outcome:
    """Run one world, without the collector: what is dropped when must not depend on it."""
    was_enabled = gc.isenabled()
    gc.disable()
    with warnings.catch_warnings():
        # The dead are ended by force when all is over; what they think of it does not matter, nor
        # what was called and never begun when they died.
        warnings.simplefilter("ignore")
        try:
            return run_world(seed, shape)
        finally:
            gc.collect()
            if was_enabled:
                gc.enable()


def _run_block(seeds: Sequence[int], shape: Shape) -> list[Outcome]:
    return [run_seed(seed, shape) for seed in seeds]


def run_seeds(seeds: Sequence[int], shape: Shape, *, workers: int = 0) -> Iterator[Outcome]:
    """Yield the outcome of every seed as it is there; `workers` 0 means one per processor."""
    blocks = [seeds[k : k + _BLOCK] for k in range(0, len(seeds), _BLOCK)]
    count = min(workers or os.cpu_count() or 1, len(blocks))
    with ProcessPoolExecutor(
        count, mp_context=multiprocessing.get_context("spawn"), initializer=prepare
    ) as pool:
        running = [pool.submit(_run_block, block, shape) for block in blocks]
        try:
            for done in as_completed(running):
                yield from done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@dataclass(slots=True)
class Summary:
    """What became of many worlds."""

    seed_count: int = 0
    job_count: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome) -> None:
        """Add one."""
        self.seed_count += 1
        self.job_count += outcome.job_count
        self.faults.update(outcome.faults)
        if outcome.violations:
            self.failed.append(outcome)

    def line(self) -> str:
        """Return one line for people."""
        elapsed_s = time.monotonic() - self.began
        return (
            f"{self.seed_count} seeds, {self.job_count} jobs, {self.faults.total()} faults, "
            f"{len(self.failed)} seeds with violations, {elapsed_s:.0f} s"
        )

    def table(self) -> str:
        """Return the faults by kind."""
        return "\n".join(f"  {count:9}  {kind}" for kind, count in sorted(self.faults.items()))


def describe(outcome: Outcome, *, tail: int = 60) -> str:
    """Say all that is needed to look into a failed seed."""
    return "\n".join(
        [
            f"seed {outcome.seed} ({outcome.job_count} jobs, trace {outcome.digest})",
            "faults: " + ", ".join(f"{n} × {kind}" for kind, n in sorted(outcome.faults.items())),
            f"the last {tail} lines of {outcome.line_count}:",
            *(f"  {line}" for line in outcome.tail[-tail:]),
            "violations:",
            *(f"  {violation}" for violation in outcome.violations[:20]),
            f"to replay: make sim SEED={outcome.seed}"
            + (f" BUG={outcome.bug}" if outcome.bug else ""),
        ]
    )


def summarise(outcomes: Iterable[Outcome]) -> Summary:
    """Add outcomes up."""
    summary = Summary()
    for outcome in outcomes:
        summary.add(outcome)
    return summary
