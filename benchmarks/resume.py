"""What is sent again when client, storage or engine dies (SIGKILL) in the middle of a transfer.

Everything between a client or engine and storage passes a relay that counts it, the way that media
go. What is more than in the same transfer in peace was sent again, but for what any transfer costs,
however little it carries, and a death of the same party in it: connections, descriptions, tokens.
That is measured with a file of one byte.
"""

import hashlib
import json
import os
import random
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.clips import bulk
from benchmarks.load.media_plane import Daemon, MediaPlane, finished, media_plane
from benchmarks.load.relay import Relay, Way
from benchmarks.result import Result
from distconv.rpc.limits import CHUNK_BYTES, MAX_CHUNK_BYTES

POINTS = int(os.environ.get("DISTCONV_BENCH_PLACES", "20"))
SEED = int(os.environ.get("DISTCONV_BENCH_SEED", "1"))
SIZE_BYTES = 200_000_000
_REACHED_S = 120.0


class Victim(StrEnum):
    """Who dies."""

    CLIENT = "client"
    STORAGE = "storage"
    ENGINE = "engine"


class Transfer(StrEnum):
    """What is under way: a client's transfer, or a whole job with the engine's two."""

    UPLOAD = "upload"
    DOWNLOAD = "download"
    JOB = "job"


# The other way go reports of what was written, now more of them and now fewer.
MEDIA_WAYS = {
    Transfer.UPLOAD: (Way.UP,),
    Transfer.DOWNLOAD: (Way.DOWN,),
    Transfer.JOB: (Way.UP, Way.DOWN),
}
# Streams of a client that a death breaks: in a job that overlaps it sends, and it follows.
CLIENT_STREAMS = {Transfer.UPLOAD: 1, Transfer.DOWNLOAD: 1, Transfer.JOB: 2}
# Streams of an engine, which reads and writes, that storage's death breaks.
ENGINE_STREAMS = {Transfer.UPLOAD: 0, Transfer.DOWNLOAD: 0, Transfer.JOB: 2}
VICTIMS = {
    Transfer.UPLOAD: (Victim.CLIENT, Victim.STORAGE),
    Transfer.DOWNLOAD: (Victim.CLIENT, Victim.STORAGE),
    Transfer.JOB: tuple(Victim),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A death in a transfer: whose, after which byte of a way, and what it cost."""

    transfer: Transfer
    victim: Victim
    way: Way
    offset: int
    again_bytes: int
    intact: bool


def bar_bytes(
    transfer: Transfer, victim: Victim, *, client_chunk_bytes: int = MAX_CHUNK_BYTES
) -> int:
    """Return what a death may cost: two chunks on their way, for each stream that it breaks.

    A client's are long on a line so fast; an engine's are not.
    """
    engine_streams = ENGINE_STREAMS[transfer] if victim is Victim.STORAGE else 0
    return 2 * (CLIENT_STREAMS[transfer] * client_chunk_bytes + engine_streams * CHUNK_BYTES)


class Dying:
    """Transfers of one video through a relay, while something dies."""

    def __init__(
        self, plane: MediaPlane, source: Path, fixed: Mapping[tuple[Transfer, Victim], int]
    ) -> None:
        """Take what a death costs, bytes, however little the transfer carries: `fixed`."""
        assert plane.relay is not None
        self._plane = plane
        self._relay: Relay = plane.relay
        self._source = source
        self._output = plane.folder / "fetched.mkv"
        self._object = ""
        digest = _digest(source)
        self._expected = {Transfer.UPLOAD: digest, Transfer.DOWNLOAD: digest}
        self._peace: dict[Transfer, dict[Way, int]] = {}
        self._fixed = fixed

    def measure_peace(self, *transfers: Transfer, times: int = 1) -> None:
        """Do each transfer without a death, and keep what cost the most of a few."""
        for transfer in transfers:
            costs = []
            for _ in range(times):
                self._prepare(transfer)
                self._relay.reset()
                found = self._end(transfer, self._start(transfer))
                self._expected.setdefault(transfer, found)
                costs.append(self._counts(transfer))
            self._peace[transfer] = max(costs, key=lambda ways: sum(ways.values()))

    def cost(self, transfer: Transfer) -> int:
        """Return what passed of a transfer in peace, the way that media go, bytes."""
        return sum(self._peace[transfer].values())

    def draw(self, transfer: Transfer, randomness: random.Random) -> tuple[Way, int]:
        """Draw a byte of a transfer, none of the first and last of them."""
        way = randomness.choice(MEDIA_WAYS[transfer])
        return way, int(self._peace[transfer][way] * randomness.uniform(0.03, 0.97))

    def die(self, transfer: Transfer, victim: Victim, way: Way, offset: int) -> Death:
        """Kill `victim` when that byte comes by, start it again, and see the transfer through."""
        reached = threading.Event()
        self._prepare(transfer)
        self._relay.reset()
        daemon = {Victim.STORAGE: self._plane.storage, Victim.ENGINE: self._plane.engine}.get(
            victim
        )
        kill: list[Callable[[], None]] = [] if daemon is None else [daemon.process.kill]
        begun = threading.Event()

        def act(_data: bytearray, _index: int) -> None:
            begun.wait()
            kill[0]()
            reached.set()

        self._relay.plan(way, offset, act)
        run = self._start(transfer)
        kill.append(run.kill)
        begun.set()
        if not reached.wait(_REACHED_S):
            raise RuntimeError(f"byte {offset} of the {transfer} did not come by")
        if daemon is None:
            run.communicate()
            run = self._start(transfer)
        else:
            _revive(daemon)
        found = self._end(transfer, run)
        more_bytes = sum(self._counts(transfer).values()) - self.cost(transfer)
        return Death(
            transfer=transfer,
            victim=victim,
            way=way,
            offset=offset,
            again_bytes=max(0, more_bytes - self._fixed.get((transfer, victim), 0)),
            intact=found == self._expected[transfer],
        )

    def _prepare(self, transfer: Transfer) -> None:
        """Store the source for a download; else delete it, or it would not be sent."""
        if transfer is Transfer.DOWNLOAD:
            if not self._object:
                self._end(Transfer.UPLOAD, self._start(Transfer.UPLOAD))
        elif self._object:
            self._plane.dcctl("objects", "rm", self._object, "--yes")
            self._object = ""

    def _counts(self, transfer: Transfer) -> dict[Way, int]:
        return {way: self._relay.count(way) for way in MEDIA_WAYS[transfer]}

    def _start(self, transfer: Transfer) -> "subprocess.Popen[str]":
        if transfer is Transfer.UPLOAD:
            words: tuple[str | Path, ...] = ("objects", "put", self._source)
        elif transfer is Transfer.DOWNLOAD:
            words = ("objects", "get", self._object, "-o", self._output)
        else:
            words = ("transcode", self._source, "-p", "copy", "-o", self._output)
        return self._plane.start_dcctl(*words, "--json")

    def _end(self, transfer: Transfer, run: "subprocess.Popen[str]") -> str:
        """Wait for the end; return the digest of what came to be. Raises RuntimeError."""
        code, out, err = finished(run)
        if code:
            raise RuntimeError(f"the {transfer} ended with {code}: {out}{err}")
        if transfer is not Transfer.UPLOAD:
            found = _digest(self._output)
            self._output.unlink()
            return found
        [stored] = json.loads(out)["objects"]
        self._object = stored["name"]
        return str(stored["sha256"])


def _revive(daemon: Daemon) -> None:
    daemon.kill()  # it is dead: this takes away what is left of it
    daemon.start()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fixed_costs(plane: MediaPlane) -> dict[tuple[Transfer, Victim], int]:
    """Return what deaths cost, bytes, in a client's transfer that carries next to nothing.

    A client that is started again costs what any does. Storage's death is tried at some points.
    """
    source = plane.folder / "one-byte"
    source.write_bytes(b"x")
    dying = Dying(plane, source, {})
    costs: dict[tuple[Transfer, Victim], int] = {}
    for transfer in (Transfer.UPLOAD, Transfer.DOWNLOAD):
        dying.measure_peace(transfer)
        costs[transfer, Victim.CLIENT] = dying.cost(transfer)
        [way] = MEDIA_WAYS[transfer]
        costs[transfer, Victim.STORAGE] = max(
            dying.die(transfer, Victim.STORAGE, way, dying.cost(transfer) * part // 4).again_bytes
            for part in (1, 2, 3)
        )
    return costs


def deaths(
    dying: Dying, transfer: Transfer, *, points: int, randomness: random.Random
) -> Iterator[Death]:
    """Yield what deaths at seeded points cost, the victims in turns."""
    victims = VICTIMS[transfer]
    for number in range(points):
        yield dying.die(transfer, victims[number % len(victims)], *dying.draw(transfer, randomness))


def run() -> Iterator[Result]:
    """Yield what was sent again at the most, and how many transfers ended wrong."""
    randomness = random.Random(SEED)  # noqa: S311  # guards nothing
    with (
        tempfile.TemporaryDirectory(prefix="distconv-bench-") as folder,
        media_plane(Path(folder), relayed=True) as plane,
    ):
        dying = Dying(plane, bulk(SIZE_BYTES), fixed_costs(plane))
        # HTTP/2's own words, of windows and pings, are now some KiB more and now fewer.
        dying.measure_peace(*Transfer, times=3)
        for transfer in Transfer:
            found = []
            for death in deaths(dying, transfer, points=POINTS, randomness=randomness):
                found.append(death)
                print(f"  {json.dumps(asdict(death))}", flush=True)
            yield from _results(transfer, found)


def _results(transfer: Transfer, found: list[Death]) -> Iterator[Result]:
    details = {"seed": SEED, "size_bytes": SIZE_BYTES, "deaths": [asdict(d) for d in found]}
    for victim in VICTIMS[transfer]:
        if victim is Victim.ENGINE:  # an encoder dies with it, and its work is done again
            continue
        yield Result(
            name=f"resume-{transfer}-{victim}-again",
            value=max((d.again_bytes for d in found if d.victim is victim), default=0) / 1024,
            unit="KiB",
            reference=SIZE_BYTES / 1024,
            bar=bar_bytes(transfer, victim) / 1024,
            bar_on_ratio=False,
            details=details,
        )
    yield Result(
        name=f"resume-{transfer}-wrong",
        value=sum(not d.intact for d in found),
        unit="wrong",
        reference=len(found),
        bar=0,
        bar_on_ratio=False,
        details=details,
    )
