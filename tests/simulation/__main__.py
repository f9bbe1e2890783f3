"""Run worlds: one seed with its whole trace, many with a summary, or every planted bug."""

import argparse
import sys
import time

from tests.simulation.catching import seeds_needed
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
    parser.add_argument(
        "--bugs", action="store_true", help="plant every bug and show how many seeds catch it"
    )
    given = parser.parse_args()
    if given.bugs:
        return _bugs()
    shape = Shape(job_count=given.jobs, bug=given.bug)
    if given.seed is not None:
        return _one(given.seed, shape)
    return _many(range(given.first, given.first + given.seeds), shape, workers=given.workers)


def _bugs() -> int:
    prepare()
    width = max(map(len, BUGS))
    print(f"{'bug':{width}}  seeds  invariant")
    missed = 0
    for name, bug in BUGS.items():
        seeds = seeds_needed(name)
        missed += seeds is None
        shown = "-" if seeds is None else seeds
        print(f"{name:{width}}  {shown:>5}  {bug.invariant.name}: {bug.invariant}", flush=True)
    print(f"{len(BUGS) - missed} of {len(BUGS)} bugs caught")
    return 1 if missed else 0


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
