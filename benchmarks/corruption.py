"""What comes of one bit that flips on the way between client, storage and engine.

A whole job runs for each flipped bit: upload, probe, copy, download. The copy of a clip has the
same bytes every time, so that whatever is handed over is compared with that of a run in peace.
"""

import hashlib
import json
import os
import random
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks.clips import bulk
from benchmarks.load.media_plane import MediaPlane, finished, media_plane
from benchmarks.load.relay import Relay, Way
from benchmarks.result import Result

PLACES = int(os.environ.get("DISTCONV_BENCH_PLACES", "50"))
SEED = int(os.environ.get("DISTCONV_BENCH_SEED", "1"))
_SOURCE_BYTES = 20_000_000
_JOB_S = 300.0
# A run in peace never differs by so much from another: what is more was sent again.
_NOISE_BYTES = 100_000


class Fate(StrEnum):
    """What became of a job in which a bit flipped."""

    HEALED = "healed"  # right in the end; bytes were sent again, or an attempt made again
    REFUSED = "refused"  # failed with an error that says why; nothing was handed over
    HARMLESS = "harmless"  # right in the end, and nothing was sent again: the bit meant nothing
    WRONG = "wrong"  # other bytes were published or handed over


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A bit that flipped, and what came of it; `offset` counts the bytes of its way in the job."""

    way: Way
    offset: int
    bit: int
    fate: Fate
    again_bytes: int
    said: str = ""


class Corrupting:
    """Run jobs through a relay, one in peace first, then one for each bit that is to flip."""

    def __init__(self, plane: MediaPlane, source: Path) -> None:
        assert plane.relay is not None
        self._plane = plane
        self._relay: Relay = plane.relay
        self._source = source
        self._output = plane.folder / "out.mkv"
        self._expected = ""
        self.peace_bytes = dict.fromkeys(Way, 0)

    def measure_peace(self) -> None:
        """Run a job that nothing disturbs. Raises RuntimeError when it fails."""
        self._relay.reset()
        code, said = self._job()
        if code:
            raise RuntimeError(f"the job in peace failed: {said}")
        self._expected = self._take()
        self.peace_bytes = {way: self._relay.count(way) for way in Way}

    def flip(self, way: Way, offset: int, bit: int) -> Flip | None:
        """Run a job while that bit flips; None when no such byte came by."""

        def act(data: bytearray, index: int) -> None:
            data[index] ^= 1 << bit

        newest = self._newest_job()
        self._relay.reset()
        self._relay.plan(way, offset, act)
        code, said = self._job()
        if self._relay.pending:
            self._output.unlink(missing_ok=True)
            return None
        again = sum(self._relay.count(w) - self.peace_bytes[w] for w in Way)
        if code:
            fate = Fate.REFUSED if said and self._nothing_wrong_published(newest) else Fate.WRONG
        elif self._take() != self._expected:
            fate = Fate.WRONG
        else:
            fate = Fate.HEALED if again > _NOISE_BYTES else Fate.HARMLESS
        return Flip(
            way=way, offset=offset, bit=bit, fate=fate, again_bytes=again, said=said if code else ""
        )

    def draw(self, randomness: random.Random) -> tuple[Way, int, int]:
        """Draw a place, every byte of a job as likely as any other."""
        at = randomness.randrange(sum(self.peace_bytes.values()))
        up = self.peace_bytes[Way.UP]
        way, offset = (Way.UP, at) if at < up else (Way.DOWN, at - up)
        return way, offset, randomness.randrange(8)

    def _job(self) -> tuple[int, str]:
        # A command of its own each time: the same would go on with the job of one that failed.
        label = f"run={secrets.token_hex(4)}"
        run = self._plane.start_dcctl(
            *("transcode", self._source, "-o", self._output, "-p", "copy", "--json"),
            *("--label", label),
        )
        code, out, err = finished(run, within_s=_JOB_S)
        return code, (out + err).strip()

    def _take(self) -> str:
        digest = hashlib.sha256(self._output.read_bytes()).hexdigest()
        self._output.unlink()
        return digest

    def _newest_job(self) -> dict[str, Any]:
        [job] = self._plane.dcctl("jobs", "list", "--limit", "1")["jobs"]
        return dict(job)

    def _nothing_wrong_published(self, before: dict[str, Any]) -> bool:
        """Fetch what was published all the same, if anything was, and compare it."""
        if self._output.exists():
            return False
        job = self._newest_job()
        if job["name"] == before["name"] or job["state"] != "COMPLETED":
            return True
        self._plane.dcctl("objects", "get", job["output"]["object"], "-o", self._output)
        return self._take() == self._expected


def flips(corrupting: Corrupting, *, places: int, seed: int) -> Iterator[Flip]:
    """Yield what came of bits that flip at `places` seeded places."""
    randomness = random.Random(seed)  # noqa: S311  # guards nothing
    done = 0
    while done < places:
        found = corrupting.flip(*corrupting.draw(randomness))
        if found is not None:
            done += 1
            yield found


def run() -> Iterator[Result]:
    """Yield how many of the jobs ended with other bytes than they should have."""
    with (
        tempfile.TemporaryDirectory(prefix="distconv-bench-") as folder,
        media_plane(Path(folder), relayed=True) as plane,
    ):
        corrupting = Corrupting(plane, bulk(_SOURCE_BYTES))
        corrupting.measure_peace()
        found = []
        for flip in flips(corrupting, places=PLACES, seed=SEED):
            found.append(flip)
            print(f"  {json.dumps(asdict(flip))}", flush=True)
    fates = Counter(flip.fate for flip in found)
    yield Result(
        name="corruption",
        value=fates[Fate.WRONG],
        unit="wrong",
        reference=len(found),
        bar=0,
        bar_on_ratio=False,
        details={
            "seed": SEED,
            "fates": dict(fates),
            "detected": fates[Fate.HEALED] + fates[Fate.REFUSED],
            "job_bytes": corrupting.peace_bytes,
            "flips": [asdict(flip) for flip in found],
        },
    )
