"""What may be concluded from silence, and what may not."""

from datetime import timedelta

import pytest

from distconv.core.errors import UnavailableError
from distconv.dispatch.circuit import Circuit
from distconv.dispatch.testing import ManualClock

SPAN = timedelta(seconds=20)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def circuit(clock: ManualClock) -> Circuit:
    return Circuit(clock)


def test_nothing_is_concluded_before_a_process_has_listened_for_a_whole_span(circuit, clock):
    start = clock.now()
    assert circuit.wait_until(SPAN) == start + SPAN
    clock.advance(SPAN)
    assert circuit.wait_until(SPAN) is None


def test_nor_while_the_database_is_away_or_just_back(circuit, clock):
    clock.advance(SPAN)
    circuit.lost("it does not answer")
    assert circuit.wait_until(SPAN) is not None
    clock.advance(SPAN * 3)
    assert circuit.answered()
    assert circuit.wait_until(SPAN) == clock.now() + SPAN
    clock.advance(SPAN)
    assert circuit.wait_until(SPAN) is None


def test_changes_are_refused_while_it_is_open(circuit, clock):
    circuit.require()
    circuit.lost("it does not answer")
    clock.advance(timedelta(seconds=7))
    with pytest.raises(UnavailableError, match=r"away for 7 s.*nothing was changed"):
        circuit.require()
    circuit.answered()
    circuit.require()


def test_a_doubt_opens_nothing_but_has_the_monitor_look(circuit):
    circuit.doubt("one call failed")
    assert circuit.doubted.is_set()
    assert not circuit.is_open
    assert not circuit.answered()
