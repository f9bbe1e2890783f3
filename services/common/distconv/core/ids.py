"""Ids that sort by time and are short enough to read aloud.

An id is 16 characters of Crockford's base 32 in lower case: 9 characters
(45 bits) of milliseconds since 1970, good until the year 3084, then 7
characters (35 bits) of randomness. Two ids of the same millisecond collide
with a chance of 1 in 3.4e10; a unique key in the store catches that.
"""

import os
import struct
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

from distconv.core.errors import InvalidArgumentError

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
# Makes an id for an instant: `new_id`, or one whose randomness a test has in hand.
MakeId = Callable[[datetime], str]

_TIME_CHARS = 9
_RANDOM_CHARS = 7
ID_LENGTH = _TIME_CHARS + _RANDOM_CHARS

# Crockford: letters that are misread stand for the digit they look like.
_MISREAD = str.maketrans({"o": "0", "i": "1", "l": "1"})


# Two characters at a time: ids are made by the thousand.
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)


def _encode(value: int, length: int) -> str:
    shift = 5 * length
    parts = []
    while shift >= 10:
        shift -= 10
        parts.append(_PAIRS[(value >> shift) & 1023])
    if shift:
        parts.append(_ALPHABET[value & 31])
    return "".join(parts)


# Randomness of the system for ids to come: asking for it costs more than all else about an id.
_NOISE_AT_ONCE = 256
_noise: list[int] = []
if hasattr(os, "register_at_fork"):
    # A child must not make the ids that its parent makes.
    os.register_at_fork(after_in_child=_noise.clear)


def _next_noise() -> int:
    while True:
        try:
            return _noise.pop() >> (64 - 5 * _RANDOM_CHARS)
        except IndexError:  # at first, and when another thread took the last
            _noise.extend(struct.unpack(f"{_NOISE_AT_ONCE}Q", os.urandom(8 * _NOISE_AT_ONCE)))


# The ids of one change are of one instant.
@lru_cache(maxsize=64)
def _time_part(now: datetime) -> str:
    return _encode(int(now.timestamp() * 1000), _TIME_CHARS)


def new_id(now: datetime, *, randomness: int | None = None) -> str:
    """Make an id for the instant `now`; `randomness` (35 bits) is for tests and simulation."""
    noise = _next_noise() if randomness is None else randomness
    return _time_part(now) + _encode(noise, _RANDOM_CHARS)


def parse_id_prefix(text: str) -> str:
    """Normalise an id or a prefix of one as a person typed it.

    Raises InvalidArgumentError when it cannot be one.
    """
    cleaned = text.strip().lower().replace("-", "").translate(_MISREAD)
    if not cleaned or len(cleaned) > ID_LENGTH or any(c not in _ALPHABET for c in cleaned):
        raise InvalidArgumentError(
            f"'{text[:80]}' is not an id: ids are up to {ID_LENGTH} letters and digits",
            field="name",
        )
    return cleaned
