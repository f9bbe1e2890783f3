"""Sources that no pipe can carry: transferred as files, within a quota, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.e2e.conftest import Clips, Run, Up, dcctl
from tests.unit.media.movies import with_compressed_index

from distconv.media.ffmpeg import bundled_ffmpeg

ENGINE = str(Path(sys.executable).parent / "distconv-engine")


class Engine:
    """An engine with a scratch folder, which the test may kill."""

    def __init__(self, address: str, folder: Path, scratch: Path, **settings: object) -> None:
        chosen = {f"DISTCONV_ENGINE_{k.upper()}": str(v) for k, v in settings.items()}
        self.process = subprocess.Popen(
            [ENGINE, "--dispatch", address, "--data-dir", str(folder), "--log-level", "error"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "DISTCONV_ENGINE_SCRATCH_DIR": str(scratch), **chosen},
        )
        assert self.process.stdout is not None
        self.name = json.loads(self.process.stdout.readline())["engine"]

    def kill_all(self) -> None:
        """Kill it and every process of it at once, as a crash of the machine does."""
        main = psutil.Process(self.process.pid)
        main.suspend()  # so that it starts no other
        family = [main, *main.children(recursive=True)]
        for process in family:
            process.suspend()
        for process in family:
            process.kill()
        psutil.wait_procs(family[1:], timeout=10)
        self.process.communicate()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """A server without an engine, of this test alone."""
    made = Up(tmp_path / "up", "--engines", "0")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def movs(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A short and a long MOV whose index is compressed: a reader has to seek to the end first."""
    folder = tmp_path_factory.mktemp("movs")
    found = {}
    for name, clip in (("short", clips.tiny), ("long", clips.long)):
        plain = folder / f"{name}.mp4"
        subprocess.run(
            [str(bundled_ffmpeg()), "-nostdin", "-v", "error", "-i", str(clip)]
            + ["-c", "copy", str(plain)],
            check=True,
        )
        found[name] = folder / f"{name}.mov"
        found[name].write_bytes(with_compressed_index(plain.read_bytes()))
    return found


def begin(up: Up, source: Path, profile: Path | str, out: Path) -> Run:
    """Begin to transcode a source."""
    return Run(
        *("transcode", source, "-o", out, "-p", profile, "--server", up.address),
        *("--progress", "json", "--json"),
    )


def files(scratch: Path) -> list[str]:
    """Return the names of the files in a scratch folder, its locks left out."""
    return sorted(p.name for p in scratch.rglob("*") if p.is_file() and p.name != "lock")


def history(up: Up, job: str) -> dict[str, Any]:
    done = dcctl("jobs", "history", job, "--json", "--server", up.address)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_mov_that_needs_seeking_is_transcoded_as_a_file(
    up: Up, movs: dict[str, Path], tmp_path: Path
) -> None:
    engine = Engine(up.address, tmp_path / "engine", tmp_path / "scratch")
    out = tmp_path / "out.mp4"
    run = begin(up, movs["short"], "h264", out)
    code, text, err = run.end()
    assert code == 0, err
    assert out.stat().st_size > 0
    job = json.loads(text)["job"]
    told = json.dumps(history(up, job["name"]))
    assert "file: the MOV has a compressed index" in told
    explained = dcctl("jobs", "explain", job["name"], "--server", up.address)
    assert "compressed index" in explained.stdout
    assert files(tmp_path / "scratch") == []
    engine.stop()
    assert [p.name for p in (tmp_path / "scratch").iterdir()] == ["lock"]


def test_what_a_crash_left_goes_at_the_next_start_and_nothing_of_a_living_engine(
    up: Up, movs: dict[str, Path], tmp_path: Path, slow_profile: Path
) -> None:
    scratch = tmp_path / "scratch"
    run = begin(up, movs["long"], slow_profile, tmp_path / "out.mp4")
    first = Engine(up.address, tmp_path / "first", scratch)
    run.job_in("TRANSCODING")
    first.kill_all()
    (left,) = scratch.glob("process-*")
    assert files(left) == ["output", "source"]
    # Another takes the work over, in a folder of its own beside it.
    second = Engine(up.address, tmp_path / "second", scratch)
    assert not left.exists()
    run.job_in("TRANSCODING")
    (living,) = scratch.glob("process-*")
    assert files(living) == ["output", "source"]
    third = Engine(up.address, tmp_path / "third", scratch)
    assert files(living) == ["output", "source"]
    run.kill()
    for engine in (second, third):
        engine.stop()
    assert [p.name for p in scratch.iterdir()] == ["lock"]


def test_a_quota_that_is_too_small_is_said_and_the_job_waits(
    up: Up, movs: dict[str, Path], tmp_path: Path
) -> None:
    small = Engine(up.address, tmp_path / "small", tmp_path / "scratch", scratch_quota_bytes=1000)
    out = tmp_path / "out.mp4"
    run = begin(up, movs["short"], "h264", out)
    told = run.event(lambda e: e["event"] == "job" and "of scratch disk" in json.dumps(e))
    explained = dcctl("jobs", "explain", told["job"]["name"], "--server", up.address).stdout
    assert "none has 1 MiB of scratch disk" in explained
    assert "compressed index" in explained
    able = Engine(up.address, tmp_path / "able", tmp_path / "scratch")
    code, _, err = run.end()
    assert code == 0, err
    assert out.stat().st_size > 0
    for engine in (small, able):
        engine.stop()


def test_a_source_is_a_file_where_a_job_asks_for_it_while_it_is_uploaded_too(
    up: Up, clips: Clips, tmp_path: Path
) -> None:
    engine = Engine(up.address, tmp_path / "engine", tmp_path / "scratch")
    server = ("--server", up.address)
    out = tmp_path / "out.mp4"
    done = dcctl(
        *("transcode", clips.tiny, "-o", out, "-p", "h264", "--transfer", "file"),
        *("--json", "--keep", *server),
    )
    assert done.returncode == 0, done.stderr
    assert out.stat().st_size > 0
    job = json.loads(done.stdout)["job"]
    assert job["transfer_mode"] == "FILE"
    last = history(up, job["name"])["attempts"][-1]
    assert last["transfer_mode"] == "FILE"
    assert "file: the job asks for it" in last["decision"]
    # On the same source, stored meanwhile, without and with the other wish.
    for wish, reason in (((), "nothing keeps"), (("--transfer", "streaming"), "the job asks")):
        made = dcctl("submit", clips.tiny, "-p", "h264", *wish, *server).stdout.strip()
        assert dcctl("jobs", "watch", made, *server).returncode == 0
        last = history(up, made)["attempts"][-1]
        assert last["transfer_mode"] == "STREAMING"
        assert f"streaming: {reason}" in last["decision"]
    assert files(tmp_path / "scratch") == []
    engine.stop()
