import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.e2e.conftest import Clips, Run, Up, dcctl, leftovers

# What a person who presses Ctrl-C is promised.
_PROMISE_S = 5.0


def _below(process: psutil.Process) -> list[psutil.Process]:
    return process.children(recursive=True)


def _encoders(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in _below(process) if "ffmpeg" in child.name()]


def _transcode(
    start: Callable[..., Run],
    clips: Clips,
    profile: Path,
    out: Path,
    *arguments: str,
    env: dict[str, str] | None = None,
) -> Run:
    return start(
        "transcode", clips.long, "-o", out / "a.mp4", "-p", profile, "--progress", "json",
        *arguments, env=env,
    )  # fmt: skip


def _job_state(up: Up, job: str) -> str:
    shown = dcctl("jobs", "get", job.removeprefix("jobs/"), "--server", up.address)
    return shown.stdout.split("state")[1].split()[0]


def test_ctrl_c_ends_everything_that_it_started(
    start: Callable[..., Run], clips: Clips, slow_profile: Path, tmp_path: Path
) -> None:
    temporary, out = tmp_path / "tmp", tmp_path / "out"
    temporary.mkdir()
    out.mkdir()
    run = _transcode(start, clips, slow_profile, out, "--embedded", env={"TMPDIR": str(temporary)})
    run.job_in("TRANSCODING")
    children = _below(psutil.Process(run.process.pid))
    assert len(children) >= 2
    pressed = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    code, stdout, stderr = run.end(within_s=20)
    _, alive = psutil.wait_procs(children, timeout=max(0, pressed + _PROMISE_S - time.monotonic()))
    assert alive == []
    assert time.monotonic() - pressed < _PROMISE_S
    assert code == 130
    assert stdout == ""
    assert "error: interrupted" in stderr
    assert leftovers(out) == []
    assert leftovers(temporary) == []


def test_ctrl_c_cancels_the_job_at_a_server_and_ends_its_encoder(
    start: Callable[..., Run], farm: Up, clips: Clips, slow_profile: Path, tmp_path: Path
) -> None:
    run = _transcode(start, clips, slow_profile, tmp_path, "--server", farm.address)
    job = run.job_in("TRANSCODING")
    encoders = _encoders(psutil.Process(farm.process.pid))
    pressed = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    code, _, stderr = run.end(within_s=20)
    _, alive = psutil.wait_procs(encoders, timeout=max(0, pressed + _PROMISE_S - time.monotonic()))
    assert alive == []
    assert code == 130
    assert f"job {job['name'].removeprefix('jobs/')} was cancelled" in stderr
    assert _job_state(farm, job["name"]) == "CANCELLED"
    assert leftovers(tmp_path) == []


def test_ctrl_c_ends_the_following_of_a_job_and_says_that_it_goes_on(
    start: Callable[..., Run], idle: Up, own_clip: Path, tmp_path: Path
) -> None:
    server = ("--server", idle.address)
    job = dcctl("submit", own_clip, "-p", "copy", *server).stdout.strip()
    for follow in (("jobs", "watch", job), ("download", job, "--wait", "-o", tmp_path / "a.mkv")):
        run = start(*follow, "--progress", "json", *server)
        run.job_in("PENDING")
        run.process.send_signal(signal.SIGINT)
        code, _, stderr = run.end()
        assert code == 130
        assert f"job {job} goes on: 'dcctl jobs watch {job}' shows it" in stderr
    assert _job_state(idle, job) == "PENDING"
    dcctl("jobs", "cancel", job, *server)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["term", "hup"]
)
def test_other_ends_are_as_good_as_ctrl_c(
    start: Callable[..., Run],
    idle: Up,
    clips: Clips,
    slow_profile: Path,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
) -> None:
    run = _transcode(start, clips, slow_profile, tmp_path, "--server", idle.address)
    job = run.job_in("PENDING")
    run.process.send_signal(number)
    assert run.end()[0] == code
    assert _job_state(idle, job["name"]) == "CANCELLED"


def test_children_do_not_outlive_a_killed_parent(
    start: Callable[..., Run], clips: Clips, slow_profile: Path, tmp_path: Path
) -> None:
    temporary, out = tmp_path / "tmp", tmp_path / "out"
    temporary.mkdir()
    out.mkdir()
    run = _transcode(start, clips, slow_profile, out, "--embedded", env={"TMPDIR": str(temporary)})
    run.job_in("TRANSCODING")
    children = _below(psutil.Process(run.process.pid))
    run.process.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    assert all(name.startswith(".a.mp4.part-") for name in leftovers(out))
    # The next command clears away what the killed one could not.
    done = dcctl(
        "transcode", clips.tiny, "-o", out / "a.mp4", "-p", "copy", "--embedded",
        env={"TMPDIR": str(temporary)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert leftovers(temporary) == []
    assert leftovers(out) == ["a.mp4"]


def test_without_an_engine_it_says_so_and_waits_until_the_timeout(
    idle: Up, clips: Clips, tmp_path: Path
) -> None:
    done = dcctl(
        "transcode", clips.tiny, "-o", tmp_path / "a.mp4", "-p", "copy", "--timeout", "2",
        "--server", idle.address,
    )  # fmt: skip
    assert done.returncode == 9, done.stderr
    assert "waiting: no engine is connected" in done.stderr
    assert "not done within 2 s" in done.stderr.splitlines()[-1]
    assert leftovers(tmp_path) == []


def test_someone_else_cancels_the_job(
    start: Callable[..., Run], idle: Up, clips: Clips, tmp_path: Path
) -> None:
    run = start(
        "transcode", clips.tiny, "-o", tmp_path / "a.mp4", "-p", "copy", "--progress", "json",
        "--server", idle.address,
    )  # fmt: skip
    job = run.job_in("PENDING")["name"]
    assert dcctl("jobs", "cancel", job, "--server", idle.address).returncode == 0
    code, _, stderr = run.end()
    assert code == 10
    assert "was cancelled" in stderr


def test_a_server_that_goes_in_the_middle_and_stays_away(
    start: Callable[..., Run], clips: Clips, slow_profile: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    up = Up(tmp_path / "data")
    children = _below(psutil.Process(up.process.pid))
    run = _transcode(start, clips, slow_profile, out, "--server", up.address, "--reconnect", "0.5")
    run.job_in("TRANSCODING")
    children = _below(psutil.Process(up.process.pid))
    up.stop(signal.SIGKILL)
    code, stdout, stderr = run.end()
    assert code == 5
    assert stdout == ""
    assert f"lost the server at {up.address}" in stderr
    assert "did not come back within 0.5 s" in stderr
    assert leftovers(out) == []
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def test_a_server_that_comes_back(start: Callable[..., Run], clips: Clips, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    first = Up(tmp_path / "data", "--engines", "0")
    children = _below(psutil.Process(first.process.pid))
    run = start(
        "transcode", clips.tiny, "-o", out / "a.mp4", "-p", "copy", "--progress", "json",
        "--server", first.address,
    )  # fmt: skip
    run.job_in("PENDING")
    first.stop(signal.SIGKILL)
    psutil.wait_procs(children, timeout=10)
    run.event(lambda e: e["event"] == "note" and "trying again" in e["message"])
    second = Up(tmp_path / "data", bind=first.address)
    try:
        code, stdout, stderr = run.end()
    finally:
        second.stop()
    assert code == 0, stderr
    assert stdout.splitlines()[0] == str(out / "a.mp4")
    assert leftovers(out) == ["a.mp4"]


def test_an_engine_that_is_killed_is_started_again(
    start: Callable[..., Run], clips: Clips, tmp_path: Path
) -> None:
    run = start("up", "--json", "--bind", "127.0.0.1:0", "--data-dir", tmp_path / "data")
    assert run.process.stdout is not None
    seen = iter(run.process.stdout.readline, "")
    next(line for line in seen if '"ready"' in line)
    (engine,) = (
        child
        for child in psutil.Process(run.process.pid).children()
        if "distconv.engine.main" in child.cmdline()
    )
    engine.kill()
    next(line for line in seen if "ended unexpectedly" in line)
    next(line for line in seen if "engine 1 is ready" in line)
    run.process.send_signal(signal.SIGINT)
    assert run.end(within_s=20)[0] == 0


def test_up_ends_when_dispatch_dies(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start("up", "--json", "--bind", "127.0.0.1:0", "--data-dir", tmp_path / "data")
    assert run.process.stdout is not None
    next(line for line in iter(run.process.stdout.readline, "") if '"ready"' in line)
    children = psutil.Process(run.process.pid).children()
    (dispatch,) = (child for child in children if "distconv.dispatch.main" in child.cmdline())
    dispatch.kill()
    code, _, stderr = run.end(within_s=20)
    assert code == 5
    assert "dispatch ended unexpectedly with exit code -9" in stderr
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def test_two_systems_do_not_share_a_folder(farm: Up) -> None:
    done = dcctl("up", "--bind", "127.0.0.1:0", "--data-dir", farm.data_dir)
    assert done.returncode == 3
    assert "another dcctl runs in the data folder" in done.stderr


def test_a_port_that_is_taken(farm: Up, tmp_path: Path) -> None:
    done = dcctl("up", "--bind", farm.address, "--data-dir", tmp_path)
    assert done.returncode == 3
    assert os.listdir(tmp_path)  # noqa: PTH208
    assert "the port is taken" in done.stderr
