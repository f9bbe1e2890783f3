"""How many worlds it takes to catch a planted bug."""

from tests.simulation.planted import BUGS
from tests.simulation.runner import run_seed
from tests.simulation.world import Shape

# A bug that hides in so many worlds would hide from `make test` too.
MAX_SEEDS = 40
_JOBS = 60


def seeds_needed(name: str) -> int | None:
    """Run worlds with a bug until one breaks its invariant; None when none of `MAX_SEEDS` does."""
    invariant = BUGS[name].invariant
    for seed in range(MAX_SEEDS):
        outcome = run_seed(seed, Shape(job_count=_JOBS, bug=name))
        if any(violation.invariant is invariant for violation in outcome.violations):
            return seed + 1
    return None
