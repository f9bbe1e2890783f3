"""What happened in a world, in order: the trace, the faults, and what each commit wrote."""

import hashlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from distconv.dispatch.sessions.messages import ResultAck
from distconv.dispatch.store.rows import Writes


class Invariant(StrEnum):
    """What must hold in every world."""

    ENDS = "every accepted job ends in exactly one terminal state"
    ONE_OUTPUT = "at most one output per job, verified, of the attempt that held the lease"
    ONE_LEASE = "no two live leases on a task"
    BOUNDED = "retries are bounded"
    JUST = "a job fails only for good, after all its retries, or when its time is over"
    FAIR = "tenants get their shares"
    EVENTS = "no event is lost between commit and bus"
    CLEAN = "nothing is left in storage but sources and published outputs"
    ONE_JOB = "a request id makes one job"
    SOUND = "no part of dispatch fails in a way that nobody foresaw"


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold, when, and how it shows."""

    invariant: Invariant
    time_s: float
    detail: str

    def __str__(self) -> str:
        return f"{self.time_s:10.3f} s  {self.invariant.name}: {self.detail}"


class Ledger:
    """Keep the trace of a world; its digest tells whether two runs were the same."""

    def __init__(self, time: Callable[[], float], *, tail: int = 400) -> None:
        """`tail` is how many lines of the trace are kept for people."""
        self.time = time
        self._digest = hashlib.sha256()
        self.tail: deque[str] = deque(maxlen=tail)
        self.line_count = 0
        self.faults: Counter[str] = Counter()
        self.violations: list[Violation] = []
        # Told what a commit wrote, in order, and by which process.
        self.on_commit: Callable[[str, Writes], None] = _nobody
        # Told how the result of an engine was answered.
        self.on_answer: Callable[[str, ResultAck], None] = _nobody

    def note(self, *what: object) -> None:
        """Add a line to the trace."""
        line = f"{self.time():10.3f} {' '.join(map(str, what))}"
        self._digest.update(line.encode())
        self.tail.append(line)
        self.line_count += 1

    def count(self, fault: str, *what: object) -> None:
        """Note that a fault was injected."""
        self.faults[fault] += 1
        self.note("!", fault, *what)

    def violated(self, invariant: Invariant, detail: str) -> None:
        """Note that an invariant does not hold."""
        violation = Violation(invariant, self.time(), detail)
        self.violations.append(violation)
        self.note("!!", violation)

    def committed(self, process: str, writes: Writes) -> None:
        """Note what a process committed."""
        self.on_commit(process, writes)

    def digest(self) -> str:
        """Return a digest of the whole trace."""
        return self._digest.hexdigest()[:16]


def _nobody(*_: object) -> None:
    """Tell nobody."""
