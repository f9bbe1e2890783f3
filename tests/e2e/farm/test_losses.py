"""Processes killed in the middle: the job ends well all the same, with one output."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.e2e.conftest import Clips, Run, Up, dcctl

ENGINE = str(Path(sys.executable).parent / "distconv-engine")


class Engine:
    """An engine that the test may kill."""

    def __init__(self, address: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            [ENGINE, "--dispatch", address, "--data-dir", str(folder), "--log-level", "error"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.name = json.loads(self.process.stdout.readline())["engine"]

    def children(self, word: str) -> list[psutil.Process]:
        """Return its descendants whose command line has a word."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [p for p in found if any(word in part for part in p.cmdline())]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)


@pytest.fixture
def farm_of_one(tmp_path: Path) -> Iterator[Up]:
    up = Up(tmp_path / "up", "--engines", "0")
    yield up
    up.stop()


def begin(up: Up, clips: Clips, profile: Path, out: Path) -> Run:
    run = Run(
        *("transcode", clips.long, "-o", out, "-p", profile, "--server", up.address),
        *("--progress", "json", "--json"),
    )
    run.job_in("TRANSCODING")
    return run


@pytest.fixture(scope="session")
def brisk_profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile that takes a few seconds: long enough to be killed, short enough to finish."""
    path = tmp_path_factory.mktemp("profiles") / "brisk.toml"
    path.write_text('[brisk]\nextends = "h264"\nvideo = { preset = "slower", threads = 1 }\n')
    return path


@pytest.mark.parametrize("victim", ["runner", "ffmpeg"])
def test_a_killed_runner_or_encoder_is_one_failed_attempt(
    farm_of_one: Up, clips: Clips, brisk_profile: Path, tmp_path: Path, victim: str
) -> None:
    engine = Engine(farm_of_one.address, tmp_path / "engine")
    out = tmp_path / "out.mp4"
    run = begin(farm_of_one, clips, brisk_profile, out)
    word = "pipe:0" if victim == "ffmpeg" else "distconv.engine.runner"
    for process in engine.children(word):
        os.kill(process.pid, signal.SIGKILL)
    code, text, _ = run.end()
    assert code == 0, run.seen[-5:]
    assert out.stat().st_size > 0
    job = json.loads(text)["job"]
    assert job["state"] == "COMPLETED"
    assert job["retry_count"] == 1
    engine.stop()


def test_a_killed_engine_s_work_goes_on_elsewhere(
    farm_of_one: Up, clips: Clips, brisk_profile: Path, tmp_path: Path
) -> None:
    first = Engine(farm_of_one.address, tmp_path / "first")
    out = tmp_path / "out.mp4"
    run = begin(farm_of_one, clips, brisk_profile, out)
    second = Engine(farm_of_one.address, tmp_path / "second")
    doomed = first.children("")
    first.process.kill()
    first.process.communicate()
    code, text, _ = run.end(within_s=90)
    assert code == 0, run.seen[-5:]
    job = json.loads(text)["job"]
    # A lost lease is not the job's fault.
    assert (job["state"], job["retry_count"], job["engine"]) == ("COMPLETED", 0, "")
    assert psutil.wait_procs(doomed, timeout=5)[1] == []
    second.stop()


def test_a_stopping_engine_gives_its_work_back_at_once(
    farm_of_one: Up, clips: Clips, brisk_profile: Path, tmp_path: Path
) -> None:
    first = Engine(farm_of_one.address, tmp_path / "first")
    out = tmp_path / "out.mp4"
    run = begin(farm_of_one, clips, brisk_profile, out)
    second = Engine(farm_of_one.address, tmp_path / "second")
    first.stop()
    assert run.job_in("PENDING")["retry_count"] == 0
    run.job_in("TRANSCODING")
    code, text, _ = run.end()
    assert code == 0, run.seen[-5:]
    assert json.loads(text)["job"]["retry_count"] == 0
    listed = dcctl("engines", "list", "--json", "--server", farm_of_one.address)
    states = {e["name"]: e["state"] for e in json.loads(listed.stdout)["engines"]}
    assert states == {first.name: "OFFLINE", second.name: "ONLINE"}
    second.stop()
