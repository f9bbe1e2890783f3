"""How urgent a task is: its job's priority, raised as the deadline nears. Pure.

Urgency is whole and takes few values, because ready tasks wait in one line per
urgency and requirement set: it rises in steps, at times that are known ahead.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

# Slack shrinks by this factor from one step to the next: with the default horizon of
# 24 h the steps come at 24 h, 6 h, 1.5 h, 22.5 min and 5.6 min before it is too late.
_STEP_FACTOR = 4
STEP_COUNT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class UrgencyPolicy:
    """How urgency rises.

    A deadline `horizon` away, less the time that the work itself takes, raises
    the priority by `step` points for the first time, and by as many at every
    quarter of what is left, five times in all. `ageing_unit` is how long the
    head of a line waits until its line has gained one point.
    """

    horizon: timedelta = timedelta(hours=24)
    step: int = 50
    ageing_unit: timedelta = timedelta(seconds=600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Urgency:
    """The urgency now, and when it changes next; None: never."""

    value: int
    change_time: datetime | None


def urgency(
    policy: UrgencyPolicy,
    *,
    priority: int,
    deadline: datetime | None,
    needed: timedelta,
    now: datetime,
) -> Urgency:
    """Return the urgency of a task at `now`.

    `needed` is how long the work takes by itself: with less time than that left
    the deadline cannot be kept, so slack is counted from it. A deadline that
    has passed keeps its last step: late is still urgent.
    """
    if deadline is None or policy.step == 0:
        return Urgency(value=priority, change_time=None)
    latest_start = deadline - needed
    steps = 0
    for time in step_times(policy, latest_start):
        if now < time:
            return Urgency(value=priority + steps * policy.step, change_time=time)
        steps += 1
    return Urgency(value=priority + steps * policy.step, change_time=None)


def step_times(policy: UrgencyPolicy, latest_start: datetime) -> tuple[datetime, ...]:
    """Return when the urgency rises, in order, for work that must start by `latest_start`."""
    slack = policy.horizon
    times = []
    for _ in range(STEP_COUNT):
        times.append(latest_start - slack)
        slack /= _STEP_FACTOR
    return tuple(times)


def aged(policy: UrgencyPolicy, *, urgency: int, ready_time: datetime, now: datetime) -> int:
    """Return the effective urgency of a line whose head is ready since `ready_time`.

    Never less than `urgency`, whatever the clock did.
    """
    if not policy.ageing_unit:
        return urgency
    return urgency + max((now - ready_time) // policy.ageing_unit, 0)
