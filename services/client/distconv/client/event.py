"""Events as a client sees them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from distconv.core.names import bare


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a job or an engine.

    `type` is the name of a message of the contract (`JobFinished`), `data` its
    fields as JSON has them, by the contract's names. A duplicate has the same
    `id` and `source`. `sequence` is the job's version, 0 where there is none.
    """

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    tenant: str
    sequence: int
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event that a subscription gave up on, and why."""

    name: str
    event: Event
    subscription: str
    reason: str
    delivery_count: int
    time: datetime

    @property
    def id(self) -> str:
        """Return the name without its collection."""
        return bare(self.name, "deadLetters")
