"""Urgency rises in few steps, at times that are known ahead, and lines age."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from distconv.core.urgency import STEP_COUNT, UrgencyPolicy, aged, step_times, urgency

NOW = datetime(2030, 1, 1, tzinfo=UTC)
POLICY = UrgencyPolicy()
ZERO = timedelta(0)
SPANS = st.timedeltas(min_value=timedelta(days=-30), max_value=timedelta(days=30))
PRIORITIES = st.integers(min_value=-100, max_value=100)


def test_without_a_deadline_it_is_the_priority() -> None:
    found = urgency(POLICY, priority=7, deadline=None, needed=ZERO, now=NOW)
    assert (found.value, found.change_time) == (7, None)


def test_an_imminent_deadline_overtakes_every_priority() -> None:
    deadline = NOW + timedelta(minutes=5)
    late = urgency(POLICY, priority=-100, deadline=deadline, needed=ZERO, now=NOW)
    assert late.value > 100
    assert late.change_time is None


def test_the_time_that_the_work_takes_is_no_slack() -> None:
    deadline = NOW + timedelta(hours=30)
    found = urgency(POLICY, priority=0, deadline=deadline, needed=ZERO, now=NOW)
    assert (found.value, found.change_time) == (0, NOW + timedelta(hours=6))
    long = urgency(POLICY, priority=0, deadline=deadline, needed=timedelta(hours=25), now=NOW)
    assert long.value == 2 * POLICY.step


@given(PRIORITIES, SPANS, st.timedeltas(min_value=ZERO, max_value=timedelta(days=2)))
def test_following_the_change_times_leads_through_every_step(
    priority: int, ahead: timedelta, needed: timedelta
) -> None:
    deadline, now, values = NOW + ahead, NOW, []
    while True:
        found = urgency(POLICY, priority=priority, deadline=deadline, needed=needed, now=now)
        values.append(found.value)
        if found.change_time is None:
            break
        assert found.change_time > now
        before = found.change_time - timedelta(microseconds=1)
        if before >= now:
            just = urgency(POLICY, priority=priority, deadline=deadline, needed=needed, now=before)
            assert just.value == found.value
        now = found.change_time
    assert values == sorted(set(values))
    assert values[-1] == priority + STEP_COUNT * POLICY.step
    assert len(values) <= STEP_COUNT + 1
    assert list(step_times(POLICY, deadline)) == sorted(step_times(POLICY, deadline))


@given(PRIORITIES, SPANS)
def test_a_line_ages_a_point_per_unit_and_never_back(level: int, waited: timedelta) -> None:
    now = NOW + waited
    found = aged(POLICY, urgency=level, ready_time=NOW, now=now)
    assert found >= level
    assert aged(POLICY, urgency=level, ready_time=NOW, now=now + POLICY.ageing_unit) >= found
    if waited >= ZERO:
        assert found == level + waited // POLICY.ageing_unit


def test_ageing_can_be_switched_off() -> None:
    policy = UrgencyPolicy(ageing_unit=ZERO, step=0)
    now = NOW + timedelta(days=300)
    assert aged(policy, urgency=3, ready_time=NOW, now=now) == 3
    assert urgency(policy, priority=3, deadline=NOW, needed=ZERO, now=now).value == 3
