"""The bounds within which storage works, as one value; `settings.py` fills it."""

from dataclasses import dataclass
from datetime import timedelta

from distconv.rpc.limits import CHUNK_BYTES

MIB = 1024 * 1024
# How long a URL of a segment holds: it is put at once, and what is put after the upload's end lies
# about until it is collected.
SEGMENT_URL_TTL = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds; `settings.StorageSettings` says what each means."""

    max_object_bytes: int = 1024**4
    max_fragments: int = 65_536
    min_free_bytes: int = 64 * MIB
    write_batch_bytes: int = 2 * MIB
    sync_bytes: int = 4 * MIB
    sync_delay: timedelta = timedelta(milliseconds=20)
    unsynced_limit_bytes: int = 32 * MIB
    read_piece_bytes: int = CHUNK_BYTES
    read_ahead_bytes: int = MIB
    upload_ttl: timedelta = timedelta(days=1)
    rest_after: timedelta = timedelta(minutes=5)
    follow_sign: timedelta = timedelta(seconds=5)
    follow_idle: timedelta = timedelta(minutes=10)
