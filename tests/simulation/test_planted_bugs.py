"""Each invariant catches the bugs that are planted against it: the worlds can fail."""

from collections.abc import Callable

import pytest
from tests.simulation.ledger import Invariant
from tests.simulation.planted import BUGS
from tests.simulation.runner import prepare, run_seed
from tests.simulation.world import Shape

# A bug that hides in so many worlds would hide from `make test` too.
_MAX_SEEDS = 40
_JOBS = 60


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    prepare()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught(name: str, record_property: Callable[[str, object], None]):
    invariant = BUGS[name].invariant
    for seed in range(_MAX_SEEDS):
        outcome = run_seed(seed, Shape(job_count=_JOBS, bug=name))
        if any(violation.invariant is invariant for violation in outcome.violations):
            record_property("seeds", seed + 1)
            return
    pytest.fail(f"{_MAX_SEEDS} worlds with the bug {name} kept to: {invariant}")


def test_every_invariant_has_a_bug():
    assert {bug.invariant for bug in BUGS.values()} | {Invariant.SOUND} == set(Invariant)
