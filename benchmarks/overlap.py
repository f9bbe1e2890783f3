"""Upload, encode and download at once over slow links, beside the slowest of them alone.

Client, servers and engine are in network namespaces of their own with links of a given rate, and
have processors of their own where there are two. The source is made so that its upload, its encode
and the download of its result take about equally long, which is when overlap has most to give; its
index lies last. The same work is also done by copying, encoding, and copying back.
"""

import asyncio
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.clips import run_ffmpeg
from benchmarks.load.media_plane import MediaPlane, Site, finished, media_plane
from benchmarks.load.network import ADDRESSES, Network, Rates, prefix_of, shaped_network
from benchmarks.load.processes import Child, running
from benchmarks.result import Result
from benchmarks.servers import make_certificate
from benchmarks.stream import plain_argv
from distconv.core.profiles import load_profile_file

RATES = Rates(
    upload=float(os.environ.get("DISTCONV_BENCH_UPLOAD_MBIT", "20")),
    download=float(os.environ.get("DISTCONV_BENCH_DOWNLOAD_MBIT", "20")),
    engine=float(os.environ.get("DISTCONV_BENCH_ENGINE_MBIT", "50")),
)
STAGE_S = float(os.environ.get("DISTCONV_BENCH_SECONDS", "45"))
RATIO_BAR = 1.15
_WITHIN_S = 3600.0
# The clip that is looped. Long enough to tell the encoder's speed by.
_CLIP_S = 10
_ROUNDS_TO_FIT = 3
_FIRST_GUESS_MBIT = 3.0
_PICTURE = "854x480"
_CRF = 23.0
# x264: 6 more of CRF is half the bit rate (its documentation, and close enough over a few steps).
_CRF_FOR_HALF = 6.0
_PROFILE = """
[overlap]
extends = "h264"
video = {{ preset = "ultrafast", crf = {crf:.2f} }}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A source with its index last, and what is to be made of it."""

    source: Path
    profile: Path
    size_bytes: int
    seconds: int

    def command(self, source: Path, output: Path) -> list[str]:
        """Return ffmpeg's command that encodes as the engine would, from file to file."""
        return _command(self.profile, source, output)


def run() -> Iterator[Result]:
    """Yield the whole's time beside the slowest stage's alone, and beside one after another."""
    with (
        tempfile.TemporaryDirectory(prefix="distconv-bench-") as name,
        shaped_network(RATES) as network,
    ):
        folder = Path(name)
        work = _fitting_work(network, folder)
        certificate = make_certificate(folder, names=f"IP:{ADDRESSES['hub']}")
        site = Site(host=ADDRESSES["hub"], before=prefix_of(network))
        with media_plane(folder, tls=certificate, site=site, settings={}) as plane:
            stages = _alone(network, plane, work)
            before = network.carried()
            whole_s = _timed(lambda: _transcode(plane, work), "at once")
            carried = {way: now - before[way] for way, now in network.carried().items()}
        copied_s = _copied(network, work, folder)
    slowest = max(stages, key=lambda stage: stages[stage])
    details = {
        "stages_alone_s": stages,
        "slowest_stage": slowest,
        "copy_encode_copy_s": copied_s,
        "source_bytes": work.size_bytes,
        "link_bytes": carried,
        "source_seconds": work.seconds,
        "rates_mbit_s": {
            "upload": RATES.upload,
            "download": RATES.download,
            "engine": RATES.engine,
        },
    }
    for name, reference, bar in (
        ("overlap-slowest-stage", stages[slowest], RATIO_BAR),
        ("overlap-copy-encode-copy", copied_s, 1.0),
    ):
        yield Result(
            name=name,
            value=whole_s,
            unit="s",
            reference=reference,
            bar=bar,
            bar_on_ratio=True,
            details=details,
        )


def _fitting_work(network: Network, folder: Path) -> Work:
    """Make a source whose upload and encode take STAGE_S, as does the download of the result."""
    profile, clip, output = folder / "overlap.toml", folder / "clip.mp4", folder / "encoded.mp4"
    crf, mbit_s = _CRF, _FIRST_GUESS_MBIT
    # The speed depends on the bit rate, the bit rate that fits on the speed, and the quality that
    # makes as much of it on both: few rounds settle it.
    for _ in range(_ROUNDS_TO_FIT):
        _make_clip(clip, mbit_s)
        profile.write_text(_PROFILE.format(crf=crf))
        command = network.command("engine", *_command(profile, clip, output))
        speed = _CLIP_S / _timed(partial(subprocess.run, command, check=True))
        made_mbit_s = output.stat().st_size * 8e-6 / _CLIP_S
        crf += _CRF_FOR_HALF * math.log2(made_mbit_s * RATES.upload / RATES.download / mbit_s)
        mbit_s = RATES.upload / speed
    profile.write_text(_PROFILE.format(crf=crf))
    times = max(round(STAGE_S * RATES.upload * 1e6 / 8 / clip.stat().st_size), 1)
    source = folder / "source.mp4"
    run_ffmpeg(
        *("-stream_loop", str(times - 1), "-i", str(clip), "-map", "0", "-c", "copy"), str(source)
    )
    _require_index_last(source)
    return Work(
        source=source,
        profile=profile,
        size_bytes=source.stat().st_size,
        seconds=times * _CLIP_S,
    )


def _make_clip(path: Path, mbit_s: float) -> None:
    run_ffmpeg(
        *("-f", "lavfi", "-i", f"testsrc2=size={_PICTURE}:rate=30:duration={_CLIP_S}"),
        *("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={_CLIP_S}"),
        *("-vf", "noise=alls=8:allf=t,format=yuv420p", "-c:v", "libx264", "-preset", "ultrafast"),
        *("-b:v", f"{mbit_s:.3f}M", "-g", "60", "-c:a", "aac", "-b:a", "128k", "-shortest"),
        str(path),
    )


def _require_index_last(source: Path) -> None:
    with source.open("rb") as file:
        head = file.read(64)
    if b"mdat" not in head:
        raise RuntimeError(f"{source} does not begin with its media: its index is not last")


def _command(profile: Path, source: Path, output: Path) -> list[str]:
    return [*asyncio.run(plain_argv(source, load_profile_file(profile)[0])), str(output)]


def _alone(network: Network, plane: MediaPlane, work: Work) -> dict[str, float]:
    """Return how long each stage takes with nothing else going on, seconds."""
    encoded = plane.folder / "encoded.mp4"
    fetched = plane.folder / "fetched.mp4"
    uploading: list[str] = []
    upload_s = _timed(
        lambda: uploading.append(_dcctl(plane, "objects", "put", work.source)), "upload alone"
    )
    # Or the next upload of the same content would send nothing.
    _dcctl(plane, "objects", "rm", uploading[0], "--yes")
    encode = network.command("engine", *work.command(work.source, encoded))
    encode_s = _timed(partial(subprocess.run, encode, check=True), "encode alone")
    result = _dcctl(plane, "objects", "put", encoded, beside="storage")
    download_s = _timed(
        lambda: _dcctl(plane, "objects", "get", result, "-o", fetched), "download alone"
    )
    _dcctl(plane, "objects", "rm", result, "--yes")
    fetched.unlink()
    return {"upload": upload_s, "encode": encode_s, "download": download_s}


def _transcode(plane: MediaPlane, work: Work) -> None:
    output = plane.folder / "output.mp4"
    _dcctl(plane, "transcode", work.source, "-o", output, "-p", work.profile)


def _copied(network: Network, work: Work, folder: Path) -> float:
    """Copy the source to the engine's machine, encode it there, copy the result back; seconds."""
    there, encoded, back = (folder / f"copied-{name}.mp4" for name in ("source", "result", "back"))
    # The source tells which streams to take, so the command is made from it, for its copy.
    made = network.command("engine", *work.command(work.source, encoded))
    encode = [str(there) if word == str(work.source) else word for word in made]

    def one_after_another() -> None:
        _copy(network, "client", work.source, "engine", there)
        subprocess.run(encode, check=True)
        _copy(network, "engine", encoded, "client", back)

    return _timed(one_after_another, "copy, encode, copy back")


def _copy(network: Network, here: str, source: Path, there: str, target: Path) -> None:
    host = ADDRESSES[there]
    log = target.with_suffix(".log")
    module = [sys.executable, "-m", "benchmarks.load.copying"]
    receive = network.command(there, *module, target, "--host", host)
    with running(Child(receive, log=log)) as receiver:
        port = receiver.expect("ready")["port"]
        send = network.command(here, *module, source, "--host", host, "--port", str(port))
        with running(Child(send, log=log)):
            receiver.expect("done", timeout_s=_WITHIN_S)


def _dcctl(plane: MediaPlane, *arguments: str | Path, beside: str = "client") -> str:
    code, out, err = finished(plane.start_dcctl(*arguments, beside=beside), within_s=_WITHIN_S)
    if code:
        raise RuntimeError(f"dcctl {arguments[0]} ended with {code}: {out}{err}")
    return out.strip()


def _timed(do: Callable[[], object], what: str = "") -> float:
    """Return how long it took, seconds, and say so when it has a name."""
    start = time.perf_counter()
    do()
    took_s = time.perf_counter() - start
    if what:
        print(f"  {what}: {took_s:.1f} s", flush=True)
    return took_s
