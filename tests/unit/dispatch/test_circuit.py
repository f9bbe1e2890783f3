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
    _listen(circuit, clock, SPAN)
    assert circuit.wait_until(SPAN) is None


def test_nor_while_the_database_is_away_or_just_back(circuit, clock):
    _listen(circuit, clock, SPAN)
    circuit.lost("it does not answer")
    assert circuit.wait_until(SPAN) is not None
    clock.advance(SPAN * 3)
    assert circuit.answered()
    assert circuit.wait_until(SPAN) == clock.now() + SPAN
    _listen(circuit, clock, SPAN)
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


def test_nothing_is_concluded_by_a_process_that_stood_still(circuit, clock):
    """A replica that was frozen heard nobody: its first thought must not be that all are gone."""
    _listen(circuit, clock, SPAN)
    clock.advance(SPAN * 3)
    assert circuit.wait_until(SPAN) == clock.now() + SPAN
    _listen(circuit, clock, SPAN)
    assert circuit.wait_until(SPAN) is None


def test_nothing_is_concluded_from_a_clock_that_was_put_forward(circuit, clock):
    _listen(circuit, clock, SPAN)
    clock.jump(SPAN * 3)
    assert circuit.wait_until(SPAN) == clock.now() + SPAN


def test_a_clock_that_is_put_back_makes_no_silence_longer(circuit, clock):
    _listen(circuit, clock, SPAN)
    clock.jump(-SPAN * 3)
    _listen(circuit, clock, SPAN)
    assert circuit.wait_until(SPAN) is None


def _listen(circuit: Circuit, clock: ManualClock, span: timedelta) -> None:
    """Let time pass, the monitor asking every second."""
    for _ in range(round(span.total_seconds())):
        clock.advance(timedelta(seconds=1))
        circuit.answered()
