"""Engines that fail what others complete are quarantined, longer each time, and may come back."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from distconv.core import health
from distconv.core.health import Health, HealthPolicy, Standing

NOW = datetime(2030, 1, 1, tzinfo=UTC)
POLICY = HealthPolicy()


def struck(times: int, now: datetime = NOW, known: Health | None = None) -> Health:
    found = known or Health()
    for _ in range(times):
        found = health.strike(POLICY, found, why="no output", now=now)
    return found


def test_enough_strikes_quarantine() -> None:
    assert struck(2).standing(NOW) is Standing.TRUSTED
    found = struck(3)
    assert found.standing(NOW) is Standing.QUARANTINED
    assert found.quarantine_time == NOW + POLICY.first
    assert found.reason == "it failed 3 tasks that others completed; last: no output"


def test_strikes_during_quarantine_do_not_lengthen_it() -> None:
    assert struck(9).quarantine_time == struck(3).quarantine_time


def test_a_success_forgets_strikes() -> None:
    assert health.succeed(struck(2), now=NOW) == Health()


def test_a_success_of_earlier_work_does_not_end_quarantine() -> None:
    assert health.succeed(struck(3), now=NOW) == struck(3)


def test_probation_ends_well_or_doubles_the_quarantine() -> None:
    found = struck(3)
    later = NOW + POLICY.first
    assert found.standing(later) is Standing.PROBATION
    well = health.succeed(found, now=later)
    assert well == Health(quarantine_count=1)
    assert health.succeed(well, now=later) == Health()
    ill = health.fail(POLICY, found, why="no output", now=later)
    assert ill.quarantine_time == later + 2 * POLICY.first
    assert health.fail(POLICY, Health(), why="x", now=later) == Health()


@given(st.lists(st.tuples(st.sampled_from(["strike", "fail", "succeed"]), st.integers(0, 7200))))
def test_quarantines_are_bounded_and_end(steps: list[tuple[str, int]]) -> None:
    found, now = Health(), NOW
    for kind, passed_s in steps:
        now += timedelta(seconds=passed_s)
        if kind == "strike":
            found = health.strike(POLICY, found, why="w", now=now)
        elif kind == "fail":
            found = health.fail(POLICY, found, why="w", now=now)
        else:
            found = health.succeed(found, now=now)
        assert found.strike_count >= 0
        assert found.quarantine_count >= 0
        if found.quarantine_time is not None:
            assert found.quarantine_time <= now + POLICY.longest
            assert found.reason
            assert found.standing(now + POLICY.longest) is Standing.PROBATION
        else:
            assert found.strike_count < POLICY.strikes


@given(st.integers(min_value=0, max_value=10_000))
def test_the_cooldown_grows_to_its_cap(failures: int) -> None:
    span = health.cooldown(POLICY, failures_in_row=failures)
    assert timedelta(0) <= span <= POLICY.first
    assert span <= health.cooldown(POLICY, failures_in_row=failures + 1)
    assert bool(span) == (failures >= POLICY.suspect_after)
