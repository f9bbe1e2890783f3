"""Those settings of dispatch that say who goes first, where, and how long one may fail."""

from collections.abc import Sequence
from datetime import timedelta

from pydantic import Field, field_validator

from distconv.core.fair_queue import MAX_WEIGHT, MIN_WEIGHT
from distconv.core.health import HealthPolicy
from distconv.core.retry_budget import BudgetPolicy
from distconv.core.urgency import UrgencyPolicy
from distconv.dispatch.changes.ready_queue import QueuePolicy
from distconv.dispatch.placement.choice import PlacementPolicy
from distconv.dispatch.placement.policy import SchedulingPolicy
from distconv.process.settings import ProcessSettings, TextList


class SchedulingSettings(ProcessSettings):
    """What can be set of scheduling."""

    tenant_weights: TextList = Field(
        (),
        description="Shares of tenants relative to others, NAME=WEIGHT, 0.001..1000000; who is "
        "not listed has 1",
    )
    ageing_unit_s: float = Field(
        600.0,
        ge=0,
        le=86_400,
        description="Waiting work gains a point of priority in so long, s, 0..86400; 0: never. "
        "Default 600",
    )
    deadline_horizon_s: float = Field(
        86_400.0,
        ge=60,
        le=30 * 86_400,
        description="From so long before its deadline a job becomes more urgent, s, 60..2592000. "
        "Default 86400",
    )
    deadline_step: int = Field(
        50,
        ge=0,
        le=200,
        description="Points of priority by which it does, five times in all, 0..200. Default 50",
    )
    hold_min_s: float = Field(
        30.0,
        ge=0,
        le=86_400,
        description="Only work that takes so long is held back for a faster engine, s, 0..86400. "
        "Default 30",
    )
    hold_max_s: float = Field(
        600.0,
        ge=0,
        le=86_400,
        description="How long work waits for a better engine than the free ones at most, s, "
        "0..86400; 0: never. Default 600",
    )
    hold_saving: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of its time that holding it back must save, 0..1. Default 0.1",
    )
    strikes: int = Field(
        3,
        ge=1,
        le=1000,
        description="Tasks that an engine fails and others complete before it is quarantined, "
        "1..1000. Default 3",
    )
    quarantine_first_s: float = Field(
        600.0,
        ge=1,
        le=86_400,
        description="How long a first quarantine lasts, s, 1..86400; it doubles each time. "
        "Default 600",
    )
    quarantine_max_s: float = Field(
        86_400.0,
        ge=1,
        le=30 * 86_400,
        description="The longest quarantine, s, 1..2592000. Default 86400",
    )
    max_lost_leases: int = Field(
        5,
        ge=0,
        le=1000,
        description="Leases that may be lost on a task before each counts as a failure of the "
        "work, 0..1000. Default 5",
    )
    retry_budget: float = Field(
        100.0,
        ge=0,
        le=1_000_000,
        description="Retries over all jobs that may come in a burst; further ones wait the "
        "longest delay, 0..1000000. Default 100",
    )
    retry_budget_per_s: float = Field(
        1.0,
        ge=0,
        le=100_000,
        description="Retries a second by which the budget fills again, 0..100000. Default 1",
    )
    retry_budget_per_success: float = Field(
        0.2,
        ge=0,
        le=10,
        description="Retries by which it fills with each attempt that succeeds, 0..10. Default 0.2",
    )
    benchmark_idle_s: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="An engine that is idle for so long is asked to measure what it has not yet, "
        "s, 0..86400. Default 60",
    )
    benchmark_again_s: float = Field(
        3600.0,
        ge=1,
        le=30 * 86_400,
        description="An engine that did not answer that is asked again after so long, s, "
        "1..2592000. Default 3600",
    )

    @field_validator("tenant_weights")
    @classmethod
    def _check_weights(cls, pairs: Sequence[str]) -> Sequence[str]:
        for pair in pairs:
            _weight(pair)
        return pairs

    @property
    def urgency(self) -> UrgencyPolicy:
        """Return how urgency rises."""
        return UrgencyPolicy(
            horizon=timedelta(seconds=self.deadline_horizon_s),
            step=self.deadline_step,
            ageing_unit=timedelta(seconds=self.ageing_unit_s),
        )

    @property
    def queue(self) -> QueuePolicy:
        """Return how tasks are ranked."""
        return QueuePolicy(
            weights=dict(_weight(pair) for pair in self.tenant_weights), urgency=self.urgency
        )

    @property
    def health(self) -> HealthPolicy:
        """Return when engines are quarantined."""
        return HealthPolicy(
            strikes=self.strikes,
            first=timedelta(seconds=self.quarantine_first_s),
            longest=timedelta(seconds=max(self.quarantine_max_s, self.quarantine_first_s)),
        )

    @property
    def budget(self) -> BudgetPolicy:
        """Return how many retries there may be over all jobs."""
        return BudgetPolicy(
            capacity=self.retry_budget,
            refill_per_s=self.retry_budget_per_s,
            refill_per_success=self.retry_budget_per_success,
        )

    @property
    def scheduling(self) -> SchedulingPolicy:
        """Return how tasks are ordered and placed."""
        return SchedulingPolicy(
            placement=PlacementPolicy(
                hold_min=timedelta(seconds=self.hold_min_s),
                hold_max=timedelta(seconds=self.hold_max_s),
                hold_saving=self.hold_saving,
            ),
            urgency=self.urgency,
            health=self.health,
        )


def _weight(pair: str) -> tuple[str, float]:
    name, _, text = pair.partition("=")
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not name.strip() or not MIN_WEIGHT <= weight <= MAX_WEIGHT:
        raise ValueError(
            f"'{pair}' is no tenant's weight; write NAME=WEIGHT, "
            f"the weight {MIN_WEIGHT}..{MAX_WEIGHT:.0f}"
        )
    return name.strip(), weight
