"""Replicas whose machines disagree about the time agree on the database's."""

from datetime import timedelta

import pytest

from distconv.dispatch.replicas.clock import ClockKeeper, FleetClock
from distconv.dispatch.store.memory import MemoryStore
from distconv.dispatch.testing import ManualClock

TRIP = timedelta(milliseconds=20)


@pytest.fixture
def own() -> ManualClock:
    return ManualClock()


@pytest.fixture
def fleet(own: ManualClock) -> FleetClock:
    return FleetClock(own)


def _ask(fleet: FleetClock, own: ManualClock, *, ahead: timedelta, trip: timedelta = TRIP) -> None:
    """Hear the time of a database whose clock is `ahead` of this machine's."""
    asked = own.now()
    own.advance(trip)
    fleet.heard(asked, asked + trip / 2 + ahead, own.now())


@pytest.mark.parametrize("ahead_s", [-90.0, -2.0, 3.0, 60.0])
def test_the_databases_clock_is_followed(fleet: FleetClock, own: ManualClock, ahead_s: float):
    _ask(fleet, own, ahead=timedelta(seconds=ahead_s))
    assert fleet.now() - own.now() == timedelta(seconds=ahead_s)
    _ask(fleet, own, ahead=timedelta(0))  # NTP put it right
    assert fleet.now() == own.now()


def test_what_is_within_the_error_of_reading_is_not_followed(fleet: FleetClock, own: ManualClock):
    _ask(fleet, own, ahead=timedelta(milliseconds=50))
    assert fleet.offset == timedelta(0)


def test_a_late_answer_says_nothing(fleet: FleetClock, own: ManualClock):
    _ask(fleet, own, ahead=timedelta(seconds=9), trip=timedelta(seconds=4))
    assert fleet.offset == timedelta(0)


async def test_without_a_server_the_machines_own_clock_counts(fleet: FleetClock, own: ManualClock):
    assert await ClockKeeper(MemoryStore(), own, fleet).run() is None
    assert fleet.now() == own.now()
