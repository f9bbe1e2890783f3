"""What an output does not hold as its source did."""

from dataclasses import dataclass
from enum import StrEnum


class NoteSeverity(StrEnum):
    """How much a note of the report matters."""

    INFO = "info"  # converted without loss that matters
    WARNING = "warning"  # converted with loss, or odd
    LOST = "lost"  # of the source, not in the output


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One thing that the output does not hold as the source did; a sentence for people.

    `stream_index` is the source's stream; None when it is none in particular.
    """

    severity: NoteSeverity
    message: str
    stream_index: int | None = None
