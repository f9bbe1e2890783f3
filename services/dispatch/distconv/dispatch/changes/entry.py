"""A change that waits for its group, and how it is told what became of it."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import structlog

from distconv.dispatch.store.failures import ConflictError
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.transaction import Transaction

_log = structlog.get_logger()
_T = TypeVar("_T")
# What a body returned, or what it raised.
Outcome = tuple[Any, Exception | None]


class Body(Protocol[_T]):  # type: ignore[misc]  # a result is only ever given out
    """A change as the group sees it. It may run more than once, and touches nothing but `tx`."""

    async def run(self, tx: Transaction) -> _T:
        """Make the change."""
        ...

    def committed(self) -> None:
        """Be told that what the last run did is there for good. Must not block or raise."""
        ...


class Entry:
    """A change that waits for its group."""

    def __init__(self, body: Body[Any], keys: Keys, *, patient: bool = True) -> None:
        """Take a change; one that is not `patient` is given up where another is in its way."""
        self.body = body
        self.keys = keys
        self.patient = patient
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.begun = False
        # What stood in its way when it was last tried.
        self.conflict = ConflictError("another change stood in the way; try again in a moment")

    @property
    def subjects(self) -> Sequence[tuple[str, str]]:
        """What it is about, as kinds and ids: a tenant only where nothing smaller is named."""
        kinds = {
            "job": self.keys.jobs,
            "task": self.keys.tasks,
            "attempt": self.keys.attempts,
            "engine": self.keys.engines,
        }
        named = [(kind, key) for kind, ids in kinds.items() for key in sorted(set(ids))]
        return named or [("tenant", key) for key in sorted(set(self.keys.tenants))]

    def succeed(self, value: Any) -> None:
        """Answer the caller: the change is there for good."""
        try:
            self.body.committed()
        except Exception:  # noqa: BLE001  # logged with its traceback; the change is made
            _log.exception("effects_failed")
        if not self.answer.done():
            self.answer.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Answer the caller: nothing of the change is there."""
        if not self.answer.done():
            self.answer.set_exception(error)
            # Its caller may be gone: then nobody is to be told that nobody asked.
            self.answer.exception()


def tell(group: Sequence[Entry], outcomes: Sequence[Outcome]) -> None:
    """Answer everyone in a group that was committed."""
    for entry, (value, raised) in zip(group, outcomes, strict=True):
        if raised is None:
            entry.succeed(value)
        else:
            entry.fail(raised)


def fail_all(group: Sequence[Entry], error: Exception) -> None:
    """Answer everyone in a group that came to nothing."""
    for entry in group:
        entry.fail(error)


def blocked(group: Sequence[Entry], conflict: ConflictError) -> Sequence[Entry]:
    """Note what stands in the way of a group; return the group."""
    for entry in group:
        entry.conflict = conflict
    return group


def halves(group: Sequence[Entry]) -> tuple[Sequence[Entry], Sequence[Entry]]:
    """Return the first and the second half of a group."""
    middle = len(group) // 2
    return group[:middle], group[middle:]
