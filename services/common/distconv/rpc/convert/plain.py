"""Values of other processes, as they can be kept and read again."""

import math


def printable(text: str) -> str:
    """Return `text` with a mark for every NUL, which PostgreSQL does not keep in any text."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def finite(number: float) -> float:
    """Return `number`, or 0 for one that is none (NaN, infinity), which JSON does not keep."""
    return number if math.isfinite(number) else 0.0
