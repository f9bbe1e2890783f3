"""Tell an engine that breaks the work from work that breaks engines. Pure.

An engine that fails at once whatever it is given always has a free slot, so it
draws the whole queue: a black hole. What tells it from bad jobs is that others
complete what it fails. Each such task is a strike; enough strikes without a
success of its own put it in quarantine, twice as long each time. Afterwards it
is on probation: one attempt, whose end decides. Errors that no engine could
mend are the job's own and count for nothing here.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

# 2**20 first quarantines are beyond every cap; more would only overflow.
_MAX_DOUBLINGS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPolicy:
    """When an engine is quarantined, and for how long.

    `strikes` failures that others completed lead to quarantine: `first` long,
    twice that the next time, at most `longest`. `suspect_after` failures in a
    row, whoever completes them, make an engine a last resort for `cooldown`,
    twice that with every one more, at most `first`.
    """

    strikes: int = 3
    first: timedelta = timedelta(minutes=10)
    longest: timedelta = timedelta(hours=24)
    suspect_after: int = 2
    cooldown: timedelta = timedelta(seconds=5)


class Standing(Enum):
    """How far an engine is trusted."""

    TRUSTED = auto()
    QUARANTINED = auto()
    PROBATION = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is kept of an engine's failures.

    `strike_count` counts since it last completed a task itself;
    `quarantine_count` counts quarantines that no success has followed yet;
    `quarantine_time` is when the last one ends, and stays set until probation
    has ended well.
    """

    strike_count: int = 0
    quarantine_count: int = 0
    quarantine_time: datetime | None = None
    reason: str = ""

    def standing(self, now: datetime) -> Standing:
        """Tell how far the engine is trusted at `now`."""
        if self.quarantine_time is None:
            return Standing.TRUSTED
        return Standing.QUARANTINED if now < self.quarantine_time else Standing.PROBATION


def strike(policy: HealthPolicy, health: Health, *, why: str, now: datetime) -> Health:
    """Count a task that the engine failed and another completed; quarantine it when it is due.

    `why` says what happened, for people.
    """
    struck = replace(health, strike_count=health.strike_count + 1)
    if health.standing(now) is Standing.QUARANTINED or struck.strike_count < policy.strikes:
        return struck
    count = f"{struck.strike_count} task{'' if struck.strike_count == 1 else 's'}"
    return _quarantine(
        policy, struck, reason=f"it failed {count} that others completed; last: {why}", now=now
    )


def fail(policy: HealthPolicy, health: Health, *, why: str, now: datetime) -> Health:
    """Count an attempt that failed on the engine: on probation it means quarantine again."""
    if health.standing(now) is not Standing.PROBATION:
        return health
    return _quarantine(policy, health, reason=f"it failed again on probation: {why}", now=now)


def succeed(health: Health, *, now: datetime) -> Health:
    """Count a task that the engine completed: strikes are forgotten, and probation has ended well.

    A success of work begun before the quarantine does not end it.
    """
    if health.standing(now) is Standing.QUARANTINED:
        return health
    if health.quarantine_time is not None:  # probation has ended well
        return Health(quarantine_count=health.quarantine_count)
    # From then on each success forgives one quarantine.
    return Health(quarantine_count=max(health.quarantine_count - 1, 0))


def cooldown(policy: HealthPolicy, *, failures_in_row: int) -> timedelta:
    """Return how long after its last failure an engine is a last resort; zero: it is not one."""
    excess = failures_in_row - policy.suspect_after
    if excess < 0:
        return timedelta(0)
    span: timedelta = min(policy.cooldown * (1 << min(excess, _MAX_DOUBLINGS)), policy.first)
    return span


def _quarantine(policy: HealthPolicy, health: Health, *, reason: str, now: datetime) -> Health:
    span: timedelta = min(
        policy.first * (1 << min(health.quarantine_count, _MAX_DOUBLINGS)), policy.longest
    )
    return Health(
        strike_count=health.strike_count,
        quarantine_count=health.quarantine_count + 1,
        quarantine_time=now + span,
        reason=reason,
    )
