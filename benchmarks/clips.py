"""Sources for benchmarks, made once and kept in benchmarks/out."""

import subprocess
from pathlib import Path

from benchmarks.result import OUT
from distconv.media.ffmpeg import bundled_ffmpeg


def ffmpeg() -> Path:
    """Return the ffmpeg that benchmarks use, which is the engine's own too."""
    found = bundled_ffmpeg()
    if found is None:
        raise SystemExit("the benchmarks need the ffmpeg of the imageio-ffmpeg wheel")
    return found


def run_ffmpeg(*args: str) -> None:
    """Run ffmpeg and fail with what it said."""
    subprocess.run(
        [str(ffmpeg()), "-hide_banner", "-nostdin", "-v", "error", "-y", *args], check=True
    )


def film_720p(seconds: int) -> Path:
    """Return a 720p source with grain, motion and sound, H.264 in an index-first MP4."""
    path = OUT / f"film-720p-{seconds}s.mp4"
    if not path.exists():
        OUT.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part.mp4")
        run_ffmpeg(
            *("-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate=30:duration={seconds}"),
            *("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}"),
            *(
                "-vf",
                "noise=alls=6:allf=t,format=yuv420p",
                "-c:v",
                "libx264",
                "-preset",
                "veryfast",
            ),
            *("-crf", "23", "-g", "60", "-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart"),
            str(partial),
        )
        partial.replace(path)
    return path


def bulk(size_bytes: int) -> Path:
    """Return a Matroska file of about `size_bytes`, one clip over and over."""
    path = OUT / f"bulk-{size_bytes // 1_000_000}MB.mkv"
    if not path.exists():
        OUT.mkdir(parents=True, exist_ok=True)
        seed = OUT / "bulk-seed.mkv"
        run_ffmpeg(
            *("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30:duration=10"),
            *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=10"),
            *("-vf", "noise=alls=20:allf=t,format=yuv420p", "-c:v", "libx264"),
            *("-preset", "ultrafast", "-b:v", "16M", "-c:a", "aac", "-shortest", str(seed)),
        )
        loops = max(size_bytes // seed.stat().st_size - 1, 0)
        partial = path.with_suffix(".part.mkv")
        run_ffmpeg(
            *("-stream_loop", str(loops), "-i", str(seed), "-map", "0", "-c", "copy"), str(partial)
        )
        seed.unlink()
        partial.replace(path)
    return path
