"""The bounds within which storage works, as one value; `settings.py` fills it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from distconv.rpc.limits import MAX_CHUNK_BYTES

MIB = 1024 * 1024
# How long a URL of a segment holds: it is put at once, and what is put after the upload's end lies
# about until it is collected.
SEGMENT_URL_TTL = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much goes at once to where a pool lies, and from there: more to a bucket than a disk."""

    sync_bytes: int = 4 * MIB
    sync_delay: timedelta = timedelta(milliseconds=20)
    read_ahead_bytes: int = MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds; `settings.StorageSettings` says what each means.

    `pool_paces` are of those pools whose pace is not `pace`.
    """

    max_object_bytes: int = 1024**4
    max_fragments: int = 65_536
    min_free_bytes: int = 64 * MIB
    write_batch_bytes: int = 2 * MIB
    unsynced_limit_bytes: int = 32 * MIB
    read_piece_bytes: int = MAX_CHUNK_BYTES
    upload_ttl: timedelta = timedelta(days=1)
    rest_after: timedelta = timedelta(minutes=5)
    follow_sign: timedelta = timedelta(seconds=5)
    follow_idle: timedelta = timedelta(minutes=10)
    pace: Pace = Pace()
    pool_paces: Mapping[str, Pace] = field(default_factory=dict)

    def pace_of(self, pool: str) -> Pace:
        """Return the pace of a pool, by its name."""
        return self.pool_paces.get(pool, self.pace)
