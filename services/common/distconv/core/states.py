"""The life of a job as a table: (state, event) → (state, commands).

Pure. docs/state-machine.md is drawn from the table by `make gen`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from distconv.core.errors import IllegalTransitionError


class JobState(StrEnum):
    """Where a job stands."""

    PENDING = "PENDING"
    ASSIGNED = "ASSIGNED"
    TRANSCODING = "TRANSCODING"
    COMPLETING = "COMPLETING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    RETRYING = "RETRYING"
    CANCELLED = "CANCELLED"
    PAUSED = "PAUSED"

    @property
    def is_terminal(self) -> bool:
        """Tell whether only a retry by hand leads out of this state."""
        return self in TERMINAL


TERMINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})


class JobEvent(StrEnum):
    """What happens to a job."""

    TASK_ASSIGNED = "a task was given to an engine"
    TASK_DONE = "a task was done and another is ready"
    ENCODING_STARTED = "an engine began to encode"
    ENCODING_ENDED = "the encoder ended; the output is being finished"
    RESULT_ACCEPTED = "the last result was verified"
    ATTEMPT_FAILED = "an attempt failed and another may succeed"
    RETRY_DUE = "the time of the next attempt came"
    ATTEMPT_RELEASED = "an attempt was lost or given back"
    GIVEN_UP = "no attempt can succeed, or none is left"
    CANCEL = "a user cancels"
    PAUSE = "a user pauses"
    RESUME = "a user resumes"
    RETRY = "a user retries"


class Command(StrEnum):
    """What a move asks of the one who makes it, in the same transaction or after it."""

    ENQUEUE = "make its next task ready for an engine"
    STOP_ATTEMPT = "end the running attempt and its lease"
    DISCARD_OUTPUT = "leave the attempt's object to the collector"
    PUBLISH = "publish the attempt's object as the output"
    SCHEDULE_RETRY = "set the time of the next attempt"


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the table, read from the left."""

    state: JobState
    commands: tuple[Command, ...] = ()


_S, _E, _C = JobState, JobEvent, Command

_ON_ENGINE = (_S.ASSIGNED, _S.TRANSCODING, _S.COMPLETING)
_WAITING = (_S.PENDING, _S.RETRYING)


def _rows() -> Iterable[tuple[JobState, JobEvent, Transition]]:
    yield _S.PENDING, _E.TASK_ASSIGNED, Transition(_S.ASSIGNED)
    yield _S.ASSIGNED, _E.TASK_DONE, Transition(_S.PENDING, (_C.ENQUEUE,))
    yield _S.ASSIGNED, _E.ENCODING_STARTED, Transition(_S.TRANSCODING)
    # Messages are level-triggered and may be missed: a later one stands for those before it.
    yield _S.ASSIGNED, _E.ENCODING_ENDED, Transition(_S.COMPLETING)
    yield _S.TRANSCODING, _E.ENCODING_ENDED, Transition(_S.COMPLETING)
    for state in _ON_ENGINE:
        yield state, _E.RESULT_ACCEPTED, Transition(_S.COMPLETED, (_C.PUBLISH,))
        yield (
            state,
            _E.ATTEMPT_FAILED,
            Transition(_S.RETRYING, (_C.DISCARD_OUTPUT, _C.SCHEDULE_RETRY)),
        )
        yield (
            state,
            _E.ATTEMPT_RELEASED,
            Transition(_S.PENDING, (_C.DISCARD_OUTPUT, _C.ENQUEUE)),
        )
        ended = (_C.STOP_ATTEMPT, _C.DISCARD_OUTPUT)
        yield state, _E.GIVEN_UP, Transition(_S.FAILED, ended)
        yield state, _E.CANCEL, Transition(_S.CANCELLED, ended)
        yield state, _E.PAUSE, Transition(_S.PAUSED, ended)
    for state in _WAITING:
        yield state, _E.GIVEN_UP, Transition(_S.FAILED)
        yield state, _E.CANCEL, Transition(_S.CANCELLED)
        yield state, _E.PAUSE, Transition(_S.PAUSED)
    yield _S.RETRYING, _E.RETRY_DUE, Transition(_S.PENDING, (_C.ENQUEUE,))
    yield _S.PAUSED, _E.RESUME, Transition(_S.PENDING, (_C.ENQUEUE,))
    yield _S.PAUSED, _E.CANCEL, Transition(_S.CANCELLED)
    yield _S.PAUSED, _E.GIVEN_UP, Transition(_S.FAILED)
    yield _S.FAILED, _E.RETRY, Transition(_S.PENDING, (_C.ENQUEUE,))
    yield _S.CANCELLED, _E.RETRY, Transition(_S.PENDING, (_C.ENQUEUE,))


TABLE: Mapping[tuple[JobState, JobEvent], Transition] = MappingProxyType(
    {(state, event): transition for state, event, transition in _rows()}
)


def apply(state: JobState, event: JobEvent, *, history: Iterable[JobState] = ()) -> Transition:
    """Return what `event` does in `state`.

    Raises IllegalTransitionError, naming the states the job came through
    (`history`, oldest first), when the table has no such row.
    """
    try:
        return TABLE[state, event]
    except KeyError:
        came = " → ".join([*(s.value for s in history), state.value])
        raise IllegalTransitionError(
            f"a job in {state.value} cannot take it that {event.value} (it came {came})",
            metadata={"state": state.value, "event": event.name},
        ) from None
