"""Tell the other replicas that this one is there, and know where they are."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
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
# One that lives has told of itself anew within so many.
_ALIVE_INTERVALS = 1.5
_EMBEDDED = "embedded"


def fingerprint(key: bytes) -> str:
    """Return what may be shown of a secret key: 16 hexadecimal digits of a SHA-256 over it."""
    return hashlib.sha256(b"distconv media key\0" + key).hexdigest()[:16]


class ReplicaPresence:
    """Keep this replica's row fresh, and the addresses of the others at hand.

    The other addresses are those of the last look. A drain looks once more, and
    sends engines on by the look before when the database is away.
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
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`storage_addresses` is empty when storage is embedded in this process.

        `pause` waits for so many seconds.
        """
        self._store = store
        self._clock = clock
        self._id = replica_id
        self._media_key = fingerprint(media_key)
        self._storage = ",".join(sorted(storage_addresses)) or _EMBEDDED
        self._interval = interval
        self._pause = pause
        self._start_time = clock.now()
        self._told_time: datetime | None = None
        self._address = ""
        self._peers: tuple[str, ...] = ()

    def peers(self) -> Sequence[str]:
        """Return where the other replicas listen."""
        return self._peers

    async def check(self, address: str = "") -> None:
        """Raise FailedPreconditionError unless this replica agrees with those that run.

        `address` is where it will be reached, as far as that is known. Where one of the
        same id was heard of late at another, it takes more than an interval to know
        whether that one lives, or was this very replica before it was killed.
        """
        _, others = await self._running()
        for other in others:
            self._require_agreement(other)
        await self._require_own_id(address)

    async def enter(self, address: str) -> None:
        """Begin to tell of this replica, which is reached at `address`.

        Raises FailedPreconditionError when one that began at the same time, and a
        little earlier, does not agree: neither saw the other before.
        """
        self._address = address
        await self.run()
        _, others = await self._running()
        self._note(others)
        for other in others:
            if (other.start_time, other.id) < (self._start_time, self._id):
                self._require_agreement(other)

    async def look(self) -> None:
        """Look who else is there, out of turn. Raises UnavailableError when nobody can tell."""
        _, others = await self._running()
        self._note(others)

    def _require_agreement(self, other: ReplicaRecord) -> None:
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

    async def _require_own_id(self, address: str) -> None:
        """Raise FailedPreconditionError when another process runs under the id of this one."""
        known, _ = await self._running()
        if known is None or known.address == address:
            return
        age = self._clock.now() - known.heartbeat_time
        await self._pause(max((_ALIVE_INTERVALS * self._interval - age).total_seconds(), 0.0))
        twin, _ = await self._running()
        if twin is not None and twin.heartbeat_time > known.heartbeat_time:
            raise FailedPreconditionError(
                f"replica {twin.id} runs already, at {twin.address} since "
                f"{twin.start_time:%Y-%m-%dT%H:%M:%SZ}, and this one has the same id: its data "
                "folder is a copy. Give it a data folder of its own, or delete the file "
                "'replica-id' in this one"
            )

    async def leave(self) -> None:
        """Take this replica's row away."""
        self._address = ""
        await self._store.remove_replica(self._id)

    async def run(self) -> datetime | None:
        """Tell, and look who else is there; return when to do so again."""
        if self._address:
            twin, others = await self._running()
            self._note(others)
            self._heed_twin(twin)
            now = self._clock.now()
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
            self._told_time = now
        return self._clock.now() + self._interval

    def _heed_twin(self, row: ReplicaRecord | None) -> None:
        """Say so when someone else wrote this replica's row since this one did."""
        if self._told_time is not None and row is not None and row.start_time != self._start_time:
            _log.error("replica_id_taken", replica=row.id, by=row.address, since=row.start_time)

    def _note(self, others: Sequence[ReplicaRecord]) -> None:
        peers = tuple(other.address for other in others)
        if peers != self._peers:
            _log.info("replicas_changed", others=list(peers))
        self._peers = peers

    async def _running(self) -> tuple[ReplicaRecord | None, Sequence[ReplicaRecord]]:
        """Return who runs under the id of this replica, and the others."""
        since = self._clock.now() - _MISSED_INTERVALS * self._interval
        found = await self._store.list_replicas(since=since)
        own = next((row for row in found if row.id == self._id), None)
        return own, [row for row in found if row.id != self._id]
