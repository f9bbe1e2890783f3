"""How fast a transfer goes, in words."""

from distconv.client.cli import text
from distconv.client.stored import Transfer
from distconv.core.clock import Clock

# A rate over less than this says nothing yet.
_LEAST_S = 0.2


class Rate:
    """The mean rate of a transfer since it began."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_at = 0.0
        self._from_bytes: int | None = None

    def note(self, transfer: Transfer) -> None:
        """Take a step; one from before the first begins anew."""
        if self._from_bytes is None or transfer.done_bytes < self._from_bytes:
            self._began_at, self._from_bytes = self._clock.monotonic(), transfer.done_bytes

    def describe(self, transfer: Transfer, *, more_digits: int = 0) -> str:
        """Say how much has gone, how fast, and how long the rest takes."""
        self.note(transfer)
        gone = text.size(transfer.done_bytes, more_digits=more_digits)
        if transfer.total_bytes is None:
            gone += " so far"
        else:
            gone += f" of {text.size(transfer.total_bytes)}"
        elapsed = self._clock.monotonic() - self._began_at
        moved = transfer.done_bytes - (self._from_bytes or 0)
        if elapsed < _LEAST_S or moved <= 0:
            return gone
        rate = moved / elapsed
        if transfer.total_bytes is None:
            return f"{gone}, {text.size(rate)}/s"
        left = (transfer.total_bytes - transfer.done_bytes) / rate
        return f"{gone}, {text.size(rate)}/s" + (f", {text.span(left)} left" if left else "")
