"""The same command again, after an earlier one was killed: it goes on, and says so."""

import json
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Run, Up, dcctl, leftovers

from benchmarks.load.relay import Relay, Way

# Within the transfer of a video that is larger, whatever else goes the same way.
_MIDDLE_BYTES = 1_500_000
_KILLED_S = 60.0


@pytest.fixture
def relay(farm: Up) -> Iterator[Relay]:
    """A way to the farm on which one can act at a byte."""
    with Relay(farm.port) as relay:
        yield relay


@pytest.fixture
def idle_relay(idle: Up) -> Iterator[Relay]:
    """A way to the server without an engine on which one can act at a byte."""
    with Relay(idle.port) as relay:
        yield relay


def kill_at(relay: Relay, way: Way, start: Callable[..., Run], *arguments: str | Path) -> None:
    """Run dcctl, and kill it in the middle of what it sends or fetches."""
    begun: Future[Run] = Future()
    relay.plan(way, _MIDDLE_BYTES, lambda *_: begun.result(_KILLED_S).process.kill())
    run = start(*arguments, "--progress", "none")
    begun.set_result(run)
    assert run.process.wait(_KILLED_S) == -signal.SIGKILL


def test_a_download_of_a_result_goes_on_where_it_broke_off(
    farm: Up, relay: Relay, own_long: Path, tmp_path: Path, start: Callable[..., Run]
) -> None:
    job = dcctl("submit", own_long, "-p", "copy", "--server", farm.address).stdout.strip()
    out = tmp_path / "out"
    out.mkdir()
    fetch = ("download", job, "--wait", "-o", out / "a.mkv", "--server", relay.address)
    kill_at(relay, Way.DOWN, start, *fetch)
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
    fetch = ("download", job, "--wait", "-o", tmp_path / "a.mkv", "--server", farm.address)
    shown = dcctl(*fetch)
    assert shown.returncode == 0, shown.stderr
    whole = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").unlink()
    output = job_output(farm, job)
    part = tmp_path / f".a.mkv.part-{output}"
    part.write_bytes(bytes(1000))
    damaged = dcctl(*fetch)
    assert damaged.returncode == 12
    assert "is not what was stored" in damaged.stderr
    assert leftovers(tmp_path) == []
    assert dcctl(*fetch).returncode == 0
    assert (tmp_path / "a.mkv").read_bytes() == whole


def test_submit_makes_no_second_job_after_it_was_killed(
    idle: Up,
    idle_relay: Relay,
    own_clip: Path,
    own_long: Path,
    tmp_path: Path,
    start: Callable[..., Run],
) -> None:
    label = f"show={tmp_path.name}"
    submit = (
        "submit", own_clip, own_long, "-p", "copy", "--label", label,
        "--server", idle_relay.address,
    )  # fmt: skip
    kill_at(idle_relay, Way.UP, start, *submit)
    first = jobs_of(idle, label)
    assert len(first) == 1
    again = dcctl(*submit)
    assert again.returncode == 0, again.stderr
    assert again.stdout.split()[0] == first[0]
    assert f"submitted as job {first[0]} by an earlier run" in again.stderr
    assert len(jobs_of(idle, label)) == 2
    on_purpose = dcctl(*submit)
    assert on_purpose.returncode == 0, on_purpose.stderr
    assert "earlier run" not in on_purpose.stderr
    jobs = jobs_of(idle, label)
    assert len(jobs) == 4
    dcctl("jobs", "cancel", *jobs, "--server", idle.address)


def test_submit_makes_a_job_for_every_name_of_a_file(
    idle: Up, own_clip: Path, tmp_path: Path
) -> None:
    label = f"show={tmp_path.name}"
    link = tmp_path / "link.mkv"
    link.symlink_to(own_clip)
    names = (own_clip, own_clip.parent / "." / own_clip.name, link)
    submit = ("submit", "-p", "copy", "--label", label, "--server", idle.address)
    failed = dcctl(*submit, *names, tmp_path / "none.mkv")
    assert len(failed.stdout.splitlines()) == 3, failed.stderr
    assert len(jobs_of(idle, label)) == 3
    for again in (names, (link,), (own_clip,)):  # none has a request of another
        done = dcctl(*submit, *again)
        assert done.returncode == 0, done.stderr
    dcctl("jobs", "cancel", *jobs_of(idle, label), "--server", idle.address)


def test_submit_again_tries_only_the_inputs_that_failed(
    idle: Up, own_clip: Path, tmp_path: Path
) -> None:
    none = tmp_path / "none.mp4"
    submit = ("submit", own_clip, none, "-p", "copy", "--server", idle.address)
    first = dcctl(*submit)
    assert first.returncode == 3
    none.write_bytes(own_clip.read_bytes() + b"\0" * 8)
    second = dcctl(*submit)
    assert second.returncode == 0, second.stderr
    jobs = second.stdout.split()
    assert jobs[0] == first.stdout.strip()
    dcctl("jobs", "cancel", *jobs, "--server", idle.address)


def test_submit_again_makes_a_new_job_when_the_result_of_the_first_is_gone(
    farm: Up, own_clip: Path, tmp_path: Path
) -> None:
    submit = ("submit", own_clip, tmp_path / "none.mp4", "-p", "copy", "--server", farm.address)
    first = dcctl(*submit).stdout.strip()
    dcctl("jobs", "watch", first, "--server", farm.address)
    dcctl("objects", "rm", "--yes", job_output(farm, first), "--server", farm.address)
    again = dcctl(*submit)
    assert again.returncode == 3
    assert again.stdout.strip() != first


def test_a_transcode_that_was_killed_goes_on_with_its_job(
    farm: Up, relay: Relay, own_long: Path, tmp_path: Path, start: Callable[..., Run]
) -> None:
    label = f"show={tmp_path.name}"
    out = tmp_path / "out"
    out.mkdir()
    transcode = (
        "transcode", own_long, "-o", out / "a.mkv", "-p", "copy", "--label", label,
        "--server", relay.address,
    )  # fmt: skip
    kill_at(relay, Way.DOWN, start, *transcode)
    (job,) = jobs_of(farm, label)
    again = dcctl(*transcode, "--json")
    assert again.returncode == 0, again.stderr
    assert f"going on with job {job}" in again.stderr
    done = json.loads(again.stdout)["job"]
    assert done["name"] == f"jobs/{job}"
    assert leftovers(out) == ["a.mkv"]
    gone = (done["source"]["object"], done["output"]["object"])
    assert not {one["name"] for one in objects(farm)} & set(gone)
    anew = dcctl(*transcode, "--overwrite", "--json")
    assert json.loads(anew.stdout)["job"]["name"] != done["name"]


def test_a_transcode_that_was_killed_in_its_upload_goes_on_there(
    farm: Up, relay: Relay, own_long: Path, tmp_path: Path, start: Callable[..., Run]
) -> None:
    transcode = (
        "transcode", own_long, "-o", tmp_path / "a.mkv", "-p", "copy", "--keep",
        "--label", f"show={tmp_path.name}", "--server", relay.address,
    )  # fmt: skip
    kill_at(relay, Way.UP, start, *transcode)
    again = start(*transcode, "--progress", "json")
    assert "going on with job" in again.event(lambda e: e["event"] == "note")["message"]
    assert again.event(lambda e: e["event"] == "upload")["done_bytes"] > 0
    code, _, stderr = again.end()
    assert code == 0, stderr
    assert len(jobs_of(farm, f"show={tmp_path.name}")) == 1


def test_a_transcode_of_an_embedded_server_goes_on_in_its_data_folder(
    own_clip: Path, tmp_path: Path, start: Callable[..., Run]
) -> None:
    transcode = (
        "transcode", own_clip, "-o", tmp_path / "a.mp4", "-p", "h264-480p", "--embedded",
        "--data-dir", tmp_path / "data",
    )  # fmt: skip
    run = start(*transcode, "--progress", "json")
    job = run.event(lambda e: e["event"] == "job")["job"]["name"]  # its engine is starting yet
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()
    again = dcctl(*transcode, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["job"]["name"] == job


def test_a_result_that_could_not_be_placed_is_fetched_by_the_same_command(
    relay: Relay, own_long: Path, tmp_path: Path, start: Callable[..., Run]
) -> None:
    out = tmp_path / "a.mp4"
    transcode = ("transcode", own_long, "-o", out, "-p", "copy", "--server", relay.address)

    def stand_in_the_way(_data: bytearray, _index: int) -> None:
        out.write_text("in the way")

    relay.plan(Way.UP, _MIDDLE_BYTES, stand_in_the_way)
    run = start(*transcode, "--progress", "json")
    job = run.event(lambda e: e["event"] == "job")["job"]["name"]
    assert run.end()[0] == 7
    again = dcctl(*transcode, "--overwrite", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["job"]["name"] == job
    assert out.stat().st_size > 1000


def test_transcode_does_not_send_what_is_stored_and_leaves_it_there(
    farm: Up, own_clip: Path, tmp_path: Path
) -> None:
    stored = dcctl("objects", "put", own_clip, "--server", farm.address).stdout.strip()
    done = dcctl(
        "transcode", own_clip, "-o", tmp_path / "a.mp4", "-p", "copy", "--server", farm.address,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"is stored already as objects/{stored}: nothing was sent" in done.stderr
    assert "uploading" not in done.stderr
    assert f"objects/{stored}" in {one["name"] for one in objects(farm)}


def objects(up: Up) -> list[dict[str, Any]]:
    """Return what is stored."""
    listed = dcctl("objects", "list", "--all", "--json", "--server", up.address)
    return list(json.loads(listed.stdout)["objects"])


def jobs_of(up: Up, label: str) -> list[str]:
    """Return the ids of the jobs that have a label."""
    listed = dcctl("jobs", "list", "--label", label, "--json", "--server", up.address)
    return [job["name"].removeprefix("jobs/") for job in json.loads(listed.stdout)["jobs"]]


def job_output(up: Up, job: str) -> str:
    """Return the id of the object that is a job's output."""
    shown = dcctl("jobs", "get", job, "--json", "--server", up.address)
    name: str = json.loads(shown.stdout)["job"]["output"]["object"]
    return name.removeprefix("objects/")
