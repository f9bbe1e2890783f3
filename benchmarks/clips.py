"""Sources for benchmarks, made once and kept in benchmarks/out."""

import os
import subprocess
from pathlib import Path
from struct import pack

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


def sparse_film(folder: Path, size_bytes: int) -> Path:
    """Make a MOV of about `size_bytes` that takes no room: uncompressed pictures, all zeros.

    Its index lies last, as cameras write it.
    """
    path = folder / f"sparse-{size_bytes}.mov"
    count = max(1, size_bytes // _FRAME_BYTES)
    head = _box(b"ftyp", b"qt  ", pack(">I", 0x200), b"qt  ")
    data_bytes = count * _FRAME_BYTES
    first = len(head) + 16
    with path.open("wb") as file:
        file.write(head + pack(">I4sQ", 1, b"mdat", 16 + data_bytes))
        file.seek(data_bytes, os.SEEK_CUR)
        file.write(_index(count, first))
    return path


_WIDTH, _HEIGHT = 1920, 1080
_FRAME_BYTES = _WIDTH * _HEIGHT * 2  # 8 bits, 4:2:2
_RATE = 25
_MATRIX = pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return pack(">I4s", 8 + len(content), kind) + content


def _index(count: int, first: int) -> bytes:
    """Return the index of `count` frames, one after another from byte `first` on."""
    offsets = (pack(">Q", first + number * _FRAME_BYTES) for number in range(count))
    entry = _box(
        b"2vuy",
        pack(">6xHHH4sII", 1, 0, 0, b"dist", 0, 512),
        pack(">HHIIIH32xHh", _WIDTH, _HEIGHT, 0x480000, 0x480000, 0, 1, 24, -1),
    )
    samples = _box(
        b"stbl",
        _box(b"stsd", pack(">II", 0, 1), entry),
        _box(b"stts", pack(">IIII", 0, 1, count, 1)),
        _box(b"stsc", pack(">IIIII", 0, 1, 1, 1, 1)),
        _box(b"stsz", pack(">III", 0, _FRAME_BYTES, count)),
        _box(b"co64", pack(">II", 0, count), *offsets),
    )
    media = _box(
        b"mdia",
        _box(b"mdhd", pack(">IIIIIHH", 0, 0, 0, _RATE, count, 0, 0)),
        _box(b"hdlr", pack(">I4s4s12xB", 0, b"mhlr", b"vide", 0)),
        _box(
            b"minf",
            _box(b"vmhd", pack(">IHHHH", 1, 0, 0, 0, 0)),
            _box(b"dinf", _box(b"dref", pack(">II", 0, 1), _box(b"url ", pack(">I", 1)))),
            samples,
        ),
    )
    track = _box(
        b"tkhd",
        pack(">IIIIII8xHHHH", 7, 0, 0, 1, 0, count, 0, 0, 0, 0),
        _MATRIX,
        pack(">II", _WIDTH << 16, _HEIGHT << 16),
    )
    movie = _box(
        b"mvhd",
        pack(">IIIIIIH10x", 0, 0, 0, _RATE, count, 0x10000, 0x100),
        _MATRIX,
        pack(">24xI", 2),
    )
    return _box(b"moov", movie, _box(b"trak", track, media))
