"""Tell the other replicas that this one is there, and know where they are."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import FailedPreconditionError
from distconv.core.version import __version__
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import ReplicaRecord

_log = structlog.get_logger()

# A replica that has not told of itself for so many intervals is not counted on.
_MISSED_INTERVALS = 3
_EMBEDDED = "embedded"


def fingerprint(key: bytes) -> str:
    """Return what may be shown of a secret key: 16 hexadecimal digits of a SHA-256 over it."""
    return hashlib.sha256(b"distconv media key\0" + key).hexdigest()[:16]


class ReplicaPresence:
    """Keep this replica's row fresh, and the addresses of the others at hand.

    The other addresses are those of the last look, so that a drain can send
    engines on even when the database is away.
    """

    name = "replica_presence"

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        replica_id: str,
        media_key: bytes,
        storage_addresses: Sequence[str],
        interval: timedelta,
    ) -> None:
        """`storage_addresses` is empty when storage is embedded in this process."""
        self._store = store
        self._clock = clock
        self._id = replica_id
        self._media_key = fingerprint(media_key)
        self._storage = ",".join(sorted(storage_addresses)) or _EMBEDDED
        self._interval = interval
        self._start_time = clock.now()
        self._address = ""
        self._peers: tuple[str, ...] = ()

    def peers(self) -> Sequence[str]:
        """Return where the other replicas listen."""
        return self._peers

    async def check(self) -> None:
        """Raise FailedPreconditionError unless this replica agrees with those that run."""
        for other in await self._others():
            if other.media_key != self._media_key:
                raise FailedPreconditionError(
                    f"this replica signs media access with another key (fingerprint "
                    f"{self._media_key}) than replica {other.id} at {other.address} "
                    f"({other.media_key}): storage would refuse one of them; give all replicas "
                    "and storage services the same file as media_key_file"
                )
            if _EMBEDDED in (other.storage, self._storage):
                here = "this one" if self._storage == _EMBEDDED else f"replica {other.id}"
                raise FailedPreconditionError(
                    f"replica {other.id} at {other.address} runs on this database already, and "
                    f"{here} keeps its media in an embedded storage that the other cannot reach; "
                    "run distconv-storage and give all replicas the same storage_addresses"
                )

    async def enter(self, address: str) -> None:
        """Begin to tell of this replica, which is reached at `address`."""
        self._address = address
        await self.run()

    async def leave(self) -> None:
        """Take this replica's row away."""
        self._address = ""
        await self._store.remove_replica(self._id)

    async def run(self) -> datetime | None:
        """Tell, and look who else is there; return when to do so again."""
        now = self._clock.now()
        if self._address:
            await self._store.put_replica(
                ReplicaRecord(
                    id=self._id,
                    address=self._address,
                    version=__version__,
                    media_key=self._media_key,
                    storage=self._storage,
                    start_time=self._start_time,
                    heartbeat_time=now,
                )
            )
            self._note(await self._others())
        return now + self._interval

    def _note(self, others: Sequence[ReplicaRecord]) -> None:
        peers = tuple(other.address for other in others)
        if peers != self._peers:
            _log.info("replicas_changed", others=list(peers))
        self._peers = peers

    async def _others(self) -> Sequence[ReplicaRecord]:
        since = self._clock.now() - _MISSED_INTERVALS * self._interval
        return [r for r in await self._store.list_replicas(since=since) if r.id != self._id]
