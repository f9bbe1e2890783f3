"""The life of a task as a table: (state, event) → state. Pure.

A task is what one engine does in one go; its job's state follows from its own
(`distconv.core.states`).
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from distconv.core.errors import IllegalTransitionError


class TaskKind(StrEnum):
    """The kinds of task."""

    PROBE = "PROBE"
    TRANSCODE = "TRANSCODE"


class TaskState(StrEnum):
    """Where a task stands."""

    BLOCKED = "BLOCKED"
    READY = "READY"
    LEASED = "LEASED"
    BACKING_OFF = "BACKING_OFF"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """Tell whether only a retry of its job by hand leads out of this state."""
        return self in TERMINAL


TERMINAL = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED})


class TaskEvent(StrEnum):
    """What happens to a task."""

    UNBLOCKED = "all that it depends on succeeded, and its job is not held"
    CLAIMED = "an attempt at it was given to an engine"
    DONE = "its result was accepted"
    RELEASED = "its attempt was lost or given back"
    ATTEMPT_FAILED = "its attempt failed and another may succeed"
    RETRY_DUE = "the time of the next attempt came"
    GIVEN_UP = "no attempt can succeed, or none is left"
    CANCEL = "its job was cancelled"
    HELD = "its job was paused"
    REVIVED = "its job is retried by hand"


_S, _E = TaskState, TaskEvent


def _rows() -> Iterable[tuple[TaskState, TaskEvent, TaskState]]:
    yield _S.BLOCKED, _E.UNBLOCKED, _S.READY
    yield _S.READY, _E.CLAIMED, _S.LEASED
    yield _S.LEASED, _E.DONE, _S.SUCCEEDED
    yield _S.LEASED, _E.RELEASED, _S.READY
    yield _S.LEASED, _E.ATTEMPT_FAILED, _S.BACKING_OFF
    yield _S.BACKING_OFF, _E.RETRY_DUE, _S.READY
    for state in (_S.BLOCKED, _S.READY, _S.LEASED, _S.BACKING_OFF):
        yield state, _E.GIVEN_UP, _S.FAILED
        yield state, _E.CANCEL, _S.CANCELLED
        # Held tasks wait as those do that depend on others: nobody looks for them in a line.
        yield state, _E.HELD, _S.BLOCKED
    # What had succeeded stays done; the rest is to be unblocked anew.
    for state in (_S.FAILED, _S.CANCELLED):
        yield state, _E.REVIVED, _S.BLOCKED


TABLE: Mapping[tuple[TaskState, TaskEvent], TaskState] = MappingProxyType(
    {(state, event): target for state, event, target in _rows()}
)


def apply(state: TaskState, event: TaskEvent) -> TaskState:
    """Return the state that `event` leads to.

    Raises IllegalTransitionError when the table has no such row.
    """
    try:
        return TABLE[state, event]
    except KeyError:
        raise IllegalTransitionError(
            f"a task in {state.value} cannot take it that {event.value}",
            metadata={"state": state.value, "event": event.name},
        ) from None
