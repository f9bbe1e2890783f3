"""What distconv adds to an encode: `dcctl transcode --server` against plain ffmpeg, alternating."""

import asyncio
import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clips import ffmpeg, film_720p
from benchmarks.result import Result
from benchmarks.system import DCCTL, System, embedded, timed
from distconv.core.profile import Profile
from distconv.core.profiles import load_catalogue
from distconv.media.ffmpeg import locate_ffmpeg
from distconv.media.plan import plan_transcode
from distconv.media.ports import FileSource
from distconv.media.probe.prober import probe
from distconv.media.sandbox import RlimitSandbox

PROFILE = "h264-720p"
SECONDS = int(os.environ.get("DISTCONV_BENCH_SECONDS", "90"))
ROUNDS = int(os.environ.get("DISTCONV_BENCH_ROUNDS", "3"))
WALL_BAR = 1.08
CPU_BAR = 1.10


def run() -> Iterator[Result]:
    """Yield the wall time and the processor time."""
    source = film_720p(SECONDS)
    plain = asyncio.run(plain_argv(source, load_catalogue().get(PROFILE)))
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    with embedded() as system, tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            theirs.append(timed([*plain, str(Path(folder) / "plain.mp4")]))
            ours.append(_through(system, source, Path(folder) / "ours.mp4"))
    for position, (what, bar) in enumerate((("wall", WALL_BAR), ("cpu", CPU_BAR))):
        values, references = [o[position] for o in ours], [t[position] for t in theirs]
        ratios = [v / r for v, r in zip(values, references, strict=True)]
        reference = statistics.median(references)
        yield Result(
            name=f"stream-{what}",
            # The median ratio of neighbours: a noisy minute spoils one pair, not the figure.
            value=statistics.median(ratios) * reference,
            unit="s",
            reference=reference,
            bar=bar,
            bar_on_ratio=True,
            details={
                "ratios": ratios,
                "values": values,
                "references": references,
                "profile": PROFILE,
                "source_seconds": SECONDS,
                "source_bytes": source.stat().st_size,
                "plain_argv": plain,
            },
        )


async def plain_argv(source: Path, profile: Profile) -> list[str]:
    """Return plain ffmpeg's command with the same encoder settings, from file to file."""
    with FileSource(source) as opened:
        media = await probe(opened, sandbox=RlimitSandbox())
    build = await locate_ffmpeg(ffmpeg())
    plan = plan_transcode(profile, media, build)
    # Stream maps, filters and encoders to the letter; only where it reads and writes is different,
    # and the muxer writes a plain file rather than fragments.
    settings = list(plan.output_args[: plan.output_args.index("-bitexact")])
    plain = [str(build.path), "-nostdin", "-v", "error", "-y", "-i", str(source)]
    return [*plain, *settings, "-movflags", "+faststart"]


def _through(system: System, source: Path, output: Path) -> tuple[float, float]:
    before = system.cpu_time_s()
    wall, client_cpu = timed(
        [DCCTL, "transcode", str(source), "-o", str(output), "--profile", PROFILE]
        + ["--server", system.address, "--overwrite"]
    )
    return wall, client_cpu + system.cpu_time_s() - before
