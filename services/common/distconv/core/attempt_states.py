"""The life of an attempt as a table: (state, event) → state. Pure.

An attempt is live while it holds its task's lease: ASSIGNED or RUNNING. Once
it has ended it stays as it is, for ever.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from distconv.core.errors import IllegalTransitionError


class AttemptState(StrEnum):
    """Where an attempt stands."""

    ASSIGNED = "ASSIGNED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    LOST = "LOST"
    RETURNED = "RETURNED"
    CANCELLED = "CANCELLED"

    @property
    def is_live(self) -> bool:
        """Tell whether the attempt holds its task's lease."""
        return self in LIVE


LIVE = frozenset({AttemptState.ASSIGNED, AttemptState.RUNNING})


class AttemptEvent(StrEnum):
    """What happens to an attempt."""

    ACCEPTED = "the engine took it"
    SUCCEEDED = "its result was accepted"
    FAILED = "the work failed"
    LEASE_LOST = "the engine was silent past the lease, or no longer has it"
    GIVEN_BACK = "the engine refused it or gave it back"
    CANCEL = "its job was cancelled or paused"


_S, _E = AttemptState, AttemptEvent


def _rows() -> Iterable[tuple[AttemptState, AttemptEvent, AttemptState]]:
    yield _S.ASSIGNED, _E.ACCEPTED, _S.RUNNING
    # Messages are level-triggered: an end stands for the beginning that was missed.
    for state in (_S.ASSIGNED, _S.RUNNING):
        yield state, _E.SUCCEEDED, _S.SUCCEEDED
        yield state, _E.FAILED, _S.FAILED
        yield state, _E.LEASE_LOST, _S.LOST
        yield state, _E.GIVEN_BACK, _S.RETURNED
        yield state, _E.CANCEL, _S.CANCELLED


TABLE: Mapping[tuple[AttemptState, AttemptEvent], AttemptState] = MappingProxyType(
    {(state, event): target for state, event, target in _rows()}
)


def apply(state: AttemptState, event: AttemptEvent) -> AttemptState:
    """Return the state that `event` leads to.

    Raises IllegalTransitionError when the table has no such row.
    """
    try:
        return TABLE[state, event]
    except KeyError:
        raise IllegalTransitionError(
            f"an attempt in {state.value} cannot take it that {event.value}",
            metadata={"state": state.value, "event": event.name},
        ) from None
