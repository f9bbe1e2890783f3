"""The attempts on this engine, from assignment until dispatch has acknowledged how they ended."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from distconv.core.attempt import AttemptPhase
from distconv.core.progress import JobProgress
from distconv.engine.work import AttemptReport, SealedResult


class StopReason(StrEnum):
    """Why an attempt is being stopped, which decides what is said of it in the end."""

    CANCELLED = "dispatch cancelled it"
    STALE = "its lease does not hold any more"
    SHUTDOWN = "the engine shuts down"


@dataclass(slots=True, kw_only=True)
class LiveAttempt:
    """One attempt; `result` waits to be acknowledged once it has ended."""

    name: str
    fencing_token: int
    phase: AttemptPhase = AttemptPhase.STARTING
    progress: JobProgress = field(default_factory=JobProgress)
    result: SealedResult | None = None
    stop_reason: StopReason | None = None

    def report(self) -> AttemptReport:
        """Return the attempt as it is now."""
        return AttemptReport(
            attempt=self.name,
            fencing_token=self.fencing_token,
            phase=self.phase,
            progress=self.progress,
        )


class AttemptTable:
    """The attempts by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, LiveAttempt] = {}

    def __iter__(self) -> Iterator[LiveAttempt]:
        return iter(list(self._by_name.values()))

    def add(self, attempt: LiveAttempt) -> None:
        """Take an attempt in."""
        self._by_name[attempt.name] = attempt

    def get(self, name: str, fencing_token: int) -> LiveAttempt | None:
        """Return the attempt of that name under that token, if it is here."""
        found = self._by_name.get(name)
        return found if found is not None and found.fencing_token == fencing_token else None

    def find(self, name: str) -> LiveAttempt | None:
        """Return the attempt of that name under any token."""
        return self._by_name.get(name)

    def remove(self, name: str) -> None:
        """Forget an attempt; harmless when it is not here."""
        self._by_name.pop(name, None)

    @property
    def running_count(self) -> int:
        """Count those that take up a slot."""
        return sum(1 for a in self._by_name.values() if a.phase is not AttemptPhase.ENDED)

    def reports(self) -> list[AttemptReport]:
        """Return every attempt as it is now."""
        return [attempt.report() for attempt in self]

    def unacknowledged(self) -> list[SealedResult]:
        """Return the results that dispatch has not acknowledged."""
        return [attempt.result for attempt in self if attempt.result is not None]
