"""Each invariant catches the bugs that are planted against it: the worlds can fail."""

from collections.abc import Callable

import pytest
from tests.simulation.catching import MAX_SEEDS, seeds_needed
from tests.simulation.ledger import Invariant
from tests.simulation.planted import BUGS
from tests.simulation.runner import prepare


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    prepare()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught(name: str, record_property: Callable[[str, object], None]):
    seeds = seeds_needed(name)
    if seeds is None:
        pytest.fail(f"{MAX_SEEDS} worlds with the bug {name} kept to: {BUGS[name].invariant}")
    record_property("seeds", seeds)


def test_every_invariant_has_a_bug():
    assert {bug.invariant for bug in BUGS.values()} | {Invariant.SOUND} == set(Invariant)
