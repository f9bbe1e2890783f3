"""How media travels between storage and an engine's tool, and what that takes of its disk. Pure."""

from enum import StrEnum
from typing import Final

# Sizes are told apart to so many binary digits: 8 steps from one power of two to the next, so
# that few distinct ones exist and none is asked for more than an eighth above what is needed.
_DIGITS: Final = 4


class TransferMode(StrEnum):
    """How media reaches the tool and leaves it."""

    STREAMING = "STREAMING"
    FILE = "FILE"


def scratch_needed(source_bytes: int) -> int:
    """Return how much scratch disk a transfer by file takes at most, bytes.

    The source, and an output as large: what an output has beyond that is
    streamed.
    """
    return 2 * source_bytes


def scratch_step(size_bytes: int) -> int:
    """Return the least of few sizes that is at least `size_bytes`: at most an eighth above it."""
    unit = 1 << max(size_bytes.bit_length() - _DIGITS, 0)
    return -(-size_bytes // unit) * unit
