"""The same command again, after an earlier one was killed: it goes on, and says so."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

from tests.e2e.conftest import Clips, Run, Up, dcctl, leftovers


def test_a_download_of_a_result_goes_on_where_it_broke_off(
    farm: Up, clips: Clips, tmp_path: Path, start: Callable[..., Run]
) -> None:
    job = dcctl("submit", clips.heavy(), "-p", "copy", "--server", farm.address).stdout.strip()
    out = tmp_path / "out"
    out.mkdir()
    fetch = ("download", job, "--wait", "-o", out / "a.mkv", "--server", farm.address)
    run = start(*fetch, "--progress", "json")
    run.event(lambda e: e["event"] == "download" and e["done_bytes"] > 0)
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()
    (part,) = out.iterdir()
    kept = part.stat().st_size
    again = start(*fetch, "--progress", "json")
    assert "goes on where it broke off" in again.event(lambda e: e["event"] == "note")["message"]
    assert again.event(lambda e: e["event"] == "download")["done_bytes"] == kept
    code, _, stderr = again.end()
    assert code == 0, stderr
    assert leftovers(out) == ["a.mkv"]


def test_what_a_download_left_is_checked_like_the_rest(
    farm: Up, own_clip: Path, tmp_path: Path
) -> None:
    job = dcctl("submit", own_clip, "-p", "copy", "--server", farm.address).stdout.strip()
    fetch = ("download", job, "--wait", "-o", tmp_path / "a.mp4", "--server", farm.address)
    shown = dcctl(*fetch)
    assert shown.returncode == 0, shown.stderr
    whole = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").unlink()
    output = job_output(farm, job)
    part = tmp_path / f".a.mp4.part-{output}"
    part.write_bytes(bytes(1000))
    damaged = dcctl(*fetch)
    assert damaged.returncode == 12
    assert "is not what was stored" in damaged.stderr
    assert leftovers(tmp_path) == []
    assert dcctl(*fetch).returncode == 0
    assert (tmp_path / "a.mp4").read_bytes() == whole


def job_output(up: Up, job: str) -> str:
    """Return the id of the object that is a job's output."""
    shown = dcctl("jobs", "get", job, "--json", "--server", up.address)
    name: str = json.loads(shown.stdout)["job"]["output"]["object"]
    return name.removeprefix("objects/")
