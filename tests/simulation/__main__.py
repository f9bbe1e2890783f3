"""Run worlds: one seed with its whole trace, or many with a summary."""

import argparse
import sys
import time

from tests.simulation.planted import BUGS
from tests.simulation.runner import Summary, describe, prepare, run_seed, run_seeds
from tests.simulation.world import Shape

_PROGRESS_S = 2.0
_SHOWN_FAILURES = 5


def main() -> int:
    """Return 0 when no invariant was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this seed alone and show its trace")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds to run (100)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=int, default=100, help="jobs per seed (100)")
    parser.add_argument("--workers", type=int, default=0, help="processes (one per processor)")
    parser.add_argument("--bug", choices=sorted(BUGS), default="", help="a bug to plant")
    given = parser.parse_args()
    shape = Shape(job_count=given.jobs, bug=given.bug)
    if given.seed is not None:
        return _one(given.seed, shape)
    return _many(range(given.first, given.first + given.seeds), shape, workers=given.workers)


def _one(seed: int, shape: Shape) -> int:
    prepare()
    outcome = run_seed(seed, shape)
    print(describe(outcome, tail=len(outcome.tail)))
    print("trace:", outcome.digest)
    return 1 if outcome.violations else 0


def _many(seeds: range, shape: Shape, *, workers: int) -> int:
    summary, told = Summary(), time.monotonic()
    for outcome in run_seeds(seeds, shape, workers=workers):
        summary.add(outcome)
        if outcome.violations and len(summary.failed) <= _SHOWN_FAILURES:
            print(describe(outcome), flush=True)
        if time.monotonic() - told >= _PROGRESS_S:
            told = time.monotonic()
            end = "\r" if sys.stderr.isatty() else "\n"
            print(f"{summary.line()} of {len(seeds)}", file=sys.stderr, end=end, flush=True)
    print("faults:")
    print(summary.table())
    print(summary.line())
    if summary.failed:
        print("failed seeds:", *(outcome.seed for outcome in summary.failed))
    return 1 if summary.failed else 0


if __name__ == "__main__":
    sys.exit(main())
