"""How tasks are ordered and placed, in one value."""

from dataclasses import dataclass, field

from distconv.core.health import HealthPolicy
from distconv.core.urgency import UrgencyPolicy
from distconv.dispatch.placement.choice import PlacementPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulingPolicy:
    """Where tasks go, how their lines rise, and which engines are a last resort."""

    placement: PlacementPolicy = field(default_factory=PlacementPolicy)
    urgency: UrgencyPolicy = field(default_factory=UrgencyPolicy)
    health: HealthPolicy = field(default_factory=HealthPolicy)
