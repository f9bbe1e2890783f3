"""dcctl as it is installed, against systems that it started itself."""

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest

DCCTL = Path(sys.executable).parent / "dcctl"
# Nothing of the machine that runs the tests may choose the server.
_ENV = {key: value for key, value in os.environ.items() if not key.startswith("DISTCONV_")}


@pytest.fixture(scope="session", autouse=True)
def _state(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whoever runs the tests has unfinished work of their own."""
    _ENV["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


class Run:
    """A dcctl under way, its stderr read line by line."""

    def __init__(
        self, *arguments: str | Path, env: dict[str, str] | None = None, **popen: Any
    ) -> None:
        self.process = subprocess.Popen(
            [str(DCCTL), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**_ENV, **(env or {})},
            **popen,
        )
        self.seen: list[str] = []

    def event(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read `--progress json` from stderr until an event is the one wanted."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.seen.append(line)
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if wanted(event):
                    return dict(event)
        raise AssertionError(f"dcctl ended before the event: {self.seen[-5:]}")

    def job_in(self, state: str) -> dict[str, Any]:
        """Read until the job is in a state; return the job."""
        found = self.event(lambda e: e["event"] == "job" and e["job"]["state"] == state)
        return dict(found["job"])

    def end(self, *, within_s: float = 60.0) -> tuple[int, str, str]:
        """Wait for the end; return exit code, stdout and the rest of stderr."""
        out, err = self.process.communicate(timeout=within_s)
        return self.process.returncode, out, err

    def kill(self) -> None:
        """End it at once if it is still there."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start() -> Iterator[Callable[..., Run]]:
    """Start dcctl; whatever is still running at the end of the test is killed."""
    runs: list[Run] = []

    def begin(*arguments: str | Path, **popen: Any) -> Run:
        runs.append(Run(*arguments, **popen))
        return runs[-1]

    yield begin
    for run in runs:
        run.kill()


_LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


def dcctl(
    *arguments: str | Path,
    env: dict[str, str] | None = None,
    largest_file: int | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Run dcctl to its end; `env` is added to the environment.

    It may make files of `largest_file` bytes at most: to it, the disk is full then.
    """
    # Not by preexec_fn: this process has threads, of gRPC's too, which a fork takes apart.
    limit = [] if largest_file is None else [sys.executable, "-c", _LIMITED, str(largest_file)]
    return subprocess.run(
        [*limit, str(DCCTL), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**_ENV, **(env or {})},
        timeout=100,
        **options,
    )


class Up:
    """A `dcctl up` under way."""

    def __init__(
        self,
        data_dir: Path,
        *arguments: str,
        bind: str = "127.0.0.1:0",
        env: dict[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [
                str(DCCTL), "up", "--json", "--bind", bind, "--data-dir", str(data_dir),
                "--log-level", "error", *arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env={**_ENV, **(env or {})},
        )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            if event.get("event") == "ready":
                self.address = str(event["address"])
                return
        self.process.communicate()
        raise AssertionError("dcctl up ended before it was ready")

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        return int(self.address.rpartition(":")[2])

    def stop(self, number: int = signal.SIGINT) -> int:
        """Signal it and return its exit code."""
        self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode


@pytest.fixture(scope="session")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One system for all tests that do not break it."""
    up = Up(tmp_path_factory.mktemp("farm"), "--slots", "2")
    yield up
    assert up.stop() == 0


@pytest.fixture(scope="session")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A server without an engine."""
    up = Up(tmp_path_factory.mktemp("idle"), "--engines", "0")
    yield up
    assert up.stop() == 0


def _ffmpeg(*arguments: str | Path) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y"]
    subprocess.run([*command, *map(str, arguments)], check=True, timeout=60)


class Clips:
    """Small real videos, and things that pretend to be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tiny = self._make("tiny.mp4", seconds=2, size="320x180")
        self.tiny_mkv = self._make("tiny.mkv", seconds=2, size="320x180")
        self.long = self._make("long.mkv", seconds=20, size="480x270")
        self.long_mp4 = self._make("long.mp4", seconds=20, size="480x270")

    def _make(self, name: str, *, seconds: int, size: str) -> Path:
        path = self.folder / name
        _ffmpeg(
            "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration={seconds}",
            "-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}",
            "-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-g", "25",
            "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "128k", path,
        )  # fmt: skip
        return path

    def own(self, source: Path, folder: Path) -> Path:
        """Make a copy of an MP4 that no other is like."""
        path = folder / "own.mp4"
        filling = os.urandom(16)
        box = struct.pack(">I4s", 8 + len(filling), b"free") + filling
        path.write_bytes(source.read_bytes() + box)
        return path

    def half(self, source: Path) -> Path:
        """Return the first half of a file."""
        path = self.folder / f"half-{source.name}"
        path.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
        return path

    def write(self, name: str, content: str) -> Path:
        """Write a file that only its name makes a video."""
        path = self.folder / name
        path.write_text(content)
        return path


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def own_clip(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that no other test has sent to a server that they share."""
    return clips.own(clips.tiny, tmp_path_factory.mktemp("own"))


@pytest.fixture
def own_long(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of some MB that no other test has sent to a server that they share."""
    return clips.own(clips.long_mp4, tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="session")
def slow_profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile that takes long enough to be interrupted."""
    path = tmp_path_factory.mktemp("profiles") / "slow.toml"
    path.write_text(
        '[slow]\nextends = "hevc"\nvideo = { preset = "placebo", crf = 10, threads = 1 }\n'
    )
    return path


def leftovers(folder: Path) -> list[str]:
    """Return what lies in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())
