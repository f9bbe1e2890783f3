"""What storage is relieved of when engines read and write its bucket themselves.

A job that copies a video, with storage on moto's S3 in a process of its own, three ways: media
through storage, sources read past it, and outputs written past it too. moto is Python, and takes a
whole object in hand for each range that is read of it: its own time says nothing, and the wall time
only which way is not slower.
"""

import json
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import psutil

from benchmarks.clips import bulk
from benchmarks.load.media_plane import MediaPlane, Settings, finished, media_plane
from benchmarks.load.processes import CpuMeter
from benchmarks.load.relay import Relay, Way
from benchmarks.result import Result
from benchmarks.servers import S3Server, s3_server

SIZE_BYTES = int(os.environ.get("DISTCONV_BENCH_MB", "200")) * 1_000_000
ROUNDS = int(os.environ.get("DISTCONV_BENCH_ROUNDS", "2"))
# Of what media through storage cost it: next to nothing passes, and finishing is left.
BYTES_BAR = 0.01
CPU_BAR = 0.65
WALL_BAR = 1.1
_GB = 1e9


class Route(StrEnum):
    """Which way media go."""

    THROUGH = "through storage"
    READS = "direct reads"
    BOTH = "direct reads and writes"


Measured = dict[str, float]
"""Seconds of a job, and processor seconds of each process for each GB of the source."""


def run() -> Iterator[Result]:
    """Yield what passes storage, its processor time and the wall time: direct beside through it."""
    source = bulk(SIZE_BYTES)
    with tempfile.TemporaryDirectory(prefix="distconv-bench-") as name, s3_server() as s3:
        passed = {way: _count(Path(name) / f"counted-{way.name}", s3, way, source) for way in Route}
        found = _measure(Path(name), s3, source)
    medians = {
        way: {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        for way, rounds in found.items()
    }
    for way, counts in passed.items():
        medians[way]["bytes"] = (counts["to_storage"] + counts["from_storage"]) / 1e6
    bars = (("bytes", "MB", BYTES_BAR), ("storage", "s/GB", CPU_BAR), ("wall", "s", WALL_BAR))
    for what, unit, bar in bars:
        yield Result(
            name=f"direct-{what}",
            value=medians[Route.BOTH][what],
            unit=unit,
            reference=medians[Route.THROUGH][what],
            bar=bar,
            bar_on_ratio=True,
            details={
                "medians": medians,
                "rounds": found,
                "passed_bytes": passed,
                "source_bytes": source.stat().st_size,
                "object_store": "moto",
            },
        )


def _measure(folder: Path, s3: S3Server, source: Path) -> dict[Route, list[Measured]]:
    """Have each way in turns, so that a noisy minute is everybody's."""
    found: dict[Route, list[Measured]] = {way: [] for way in Route}
    with ExitStack() as stack:
        planes: dict[Route, MediaPlane] = {}
        for way in Route:
            planes[way] = stack.enter_context(_plane(folder / way.name, s3, way, source))
        for _ in range(ROUNDS):
            for way, plane in planes.items():
                found[way].append(_timed(plane, s3, source))
    return found


def _timed(plane: MediaPlane, s3: S3Server, source: Path) -> Measured:
    meter = CpuMeter(
        {
            "storage": plane.storage.process,
            "engine": plane.engine.process,
            "object_store": psutil.Process(s3.pid),
        }
    )
    before = _own_s(plane.storage.process)
    wall = _job(plane, source)
    used = {"storage_itself": _own_s(plane.storage.process) - before, **meter.stop()}
    size_gb = source.stat().st_size / _GB
    return {"wall": wall, **{name: used_s / size_gb for name, used_s in used.items()}}


def _own_s(process: psutil.Process) -> float:
    """Return the processor time of a process without its children's, which finish outputs."""
    times = process.cpu_times()
    return times.user + times.system


def _count(folder: Path, s3: S3Server, way: Route, source: Path) -> dict[str, int]:
    """Return the bytes that go between storage and engines or clients, and it and its bucket."""
    with (
        Relay(s3.port) as bucket,
        _plane(folder, s3, way, source, bucket=bucket) as plane,
    ):
        assert plane.relay is not None
        for relay in (plane.relay, bucket):
            relay.reset()
        _job(plane, source)
        return {
            "to_storage": plane.relay.count(Way.UP),
            "from_storage": plane.relay.count(Way.DOWN),
            "to_bucket_by_storage": bucket.count(Way.UP),
            "from_bucket_by_storage": bucket.count(Way.DOWN),
        }


@contextmanager
def _plane(
    folder: Path, s3: S3Server, way: Route, source: Path, *, bucket: Relay | None = None
) -> Iterator[MediaPlane]:
    """Run the daemons with the source stored; with a relay before the bucket one before storage."""
    folder.mkdir()
    settings: Settings = {
        "storage": {
            "bucket_url": f"s3://{s3.new_bucket()}/media",
            "bucket_endpoint": s3.url if bucket is None else f"http://{bucket.address}",
            "bucket_public_endpoint": s3.url,
        },
        "engine": {
            "direct_reads": way is not Route.THROUGH,
            "direct_writes": way is Route.BOTH,
        },
    }
    relayed = bucket is not None
    with media_plane(folder, relayed=relayed, settings=settings, env=s3.environment) as plane:
        plane.dcctl("objects", "put", source)
        yield plane


def _job(plane: MediaPlane, source: Path) -> float:
    """Have a job done and its result deleted; return how long the job took, seconds."""
    [submitted] = plane.dcctl("submit", source, "-p", "copy")["jobs"]
    name = submitted["name"]
    code, out, err = finished(plane.start_dcctl("jobs", "watch", name, "--json"))
    if code:
        raise RuntimeError(f"job {submitted['id']} ended with {code}: {out}{err}")
    job = json.loads(out.splitlines()[-1])
    plane.dcctl("jobs", "delete", name, "--output", "--yes")
    begun, ended = (datetime.fromisoformat(job[key]) for key in ("create_time", "end_time"))
    return (ended - begun).total_seconds()
