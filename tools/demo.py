"""Transcode a clip end to end with the embedded system: what `make demo` runs.

Empty options count as not given. Without an input a clip is made first: 30 s of
720p with sound.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg

_FOLDER = Path("demo")
_SECONDS = 30
# H.264 is done in well under a minute on two processors, and plays everywhere.
_PROFILE = "h264-720p"


def _ffmpeg() -> str:
    return os.environ.get("DISTCONV_ENGINE_FFMPEG") or imageio_ffmpeg.get_ffmpeg_exe()


def _make_clip(path: Path) -> None:
    """Make a clip as a camera would: some noise, and more bits than it needs."""
    print(f"making {path}: {_SECONDS} s of 720p with sound", flush=True)
    partial = path.with_name(f"making-{path.name}")
    subprocess.run(
        [
            _ffmpeg(), "-nostdin", "-v", "error", "-y",
            "-f", "lavfi", "-i", f"testsrc2=size=1280x720:rate=30:duration={_SECONDS}",
            "-f", "lavfi", "-i", f"sine=frequency=440:beep_factor=4:duration={_SECONDS}",
            "-vf", "noise=alls=2:allf=t", "-ac", "2",
            "-c:v", "libx264", "-preset", "ultrafast", "-crf", "20", "-g", "60",
            "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "192k",
            str(partial),
        ],
        check=True,
    )  # fmt: skip
    partial.replace(path)


def _output(source: Path, profile: str) -> Path:
    ending = ".webm" if profile.startswith(("vp9", "audio-opus")) else ".mp4"
    return _FOLDER / f"{source.stem}-{Path(profile).stem}{ending}"


def main() -> None:
    """Get the clip ready and become dcctl, so that its signals and exit code are ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("input", "output", "profile"):
        parser.add_argument(f"--{name}", default="")
    given = parser.parse_args()
    profile = given.profile or _PROFILE
    if not (given.input and given.output):
        _FOLDER.mkdir(exist_ok=True)
    source = Path(given.input or _FOLDER / "clip.mp4")
    if not given.input and not source.exists():
        _make_clip(source)
    output = Path(given.output) if given.output else _output(source, profile)
    command = [
        str(Path(sys.executable).parent / "dcctl"), "transcode", str(source),
        "--output", str(output), "--profile", profile, "--embedded",
        # What the demonstration named itself may go; what the user named is asked for.
        *(() if given.output else ("--overwrite",)),
    ]  # fmt: skip
    print("$", " ".join(["dcctl", *command[1:]]), flush=True)
    os.execv(command[0], command)  # noqa: S606  # no shell is meant


if __name__ == "__main__":
    main()
