import fcntl
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from tests.e2e.conftest import DCCTL, Clips, Run, Up, dcctl, leftovers


def _frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_video_goes_through_and_comes_back(
    farm: Up, own_clip: Path, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"out.{ending}"
    done = dcctl("transcode", own_clip, "-o", out, "-p", "h264-480p", "--server", farm.address)
    assert done.returncode == 0, done.stderr
    assert _frames(out) == _frames(own_clip)
    assert done.stdout.splitlines()[0] == str(out)
    assert "H.264 320×180, 25 fps" in done.stdout
    assert "saved" in done.stdout or "more" in done.stdout
    assert "uploaded" in done.stderr
    assert "downloaded" in done.stderr
    assert leftovers(tmp_path) == [out.name]


def test_json_describes_the_result_and_nothing_else_is_printed(
    farm: Up, own_clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mkv"
    done = dcctl(
        "--server", farm.address, "--json", "transcode", own_clip, "-o", out, "-p", "copy",
        "--label", "show=test", "--priority", "5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["output"] == str(out)
    assert found["size_bytes"] == out.stat().st_size
    assert found["video"]["codec"] == "h264"
    assert [a["codec"] for a in found["audio"]] == ["aac"]
    assert found["duration_s"] == pytest.approx(2, abs=0.2)
    assert found["source_size_bytes"] == own_clip.stat().st_size
    assert found["saved_bytes"] == found["source_size_bytes"] - found["size_bytes"]
    assert found["job"]["labels"] == {"show": "test"}
    assert found["job"]["priority"] == 5


def test_embedded_needs_nothing_and_leaves_nothing(clips: Clips, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    out = tmp_path / "out"
    out.mkdir()
    done = dcctl(
        "transcode", clips.tiny, "-o", out, "-p", "h264-480p", "--embedded",
        env={"TMPDIR": str(temporary)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert leftovers(out) == ["tiny.mp4"]
    assert leftovers(temporary) == []


def test_submit_follow_and_download(farm: Up, clips: Clips, tmp_path: Path) -> None:
    server = ("--server", farm.address)
    done = dcctl("submit", clips.tiny, clips.tiny_mkv, "-p", "h264-480p", *server)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split()
    assert f"'{clips.tiny}' is {first}" in done.stderr
    assert f"'{clips.tiny_mkv}' is {second}" in done.stderr
    for job in (first, second):
        watched = dcctl("jobs", "watch", job, *server)
        assert watched.returncode == 0, watched.stderr
        assert watched.stdout == f"job {job}: done\n"
        assert "done" not in watched.stderr
    listed = json.loads(dcctl("jobs", "list", "--json", *server).stdout)["jobs"]
    assert {first, second} <= {job["name"].removeprefix("jobs/") for job in listed}
    objects = json.loads(
        dcctl("objects", "list", "--label", f"distconv.job={first}", "--json", *server).stdout
    )["objects"]
    published = next(job["output"]["object"] for job in listed if job["name"] == f"jobs/{first}")
    assert [(one["name"], one["job"]) for one in objects] == [(published, f"jobs/{first}")]
    table = dcctl("objects", "list", *server).stdout.splitlines()
    assert "OUTPUT OF" in table[0]
    (row,) = (line for line in table if published.removeprefix("objects/") in line)
    assert first in row
    assert "distconv.job" not in row
    shown = dcctl("jobs", "get", first, *server)
    assert "COMPLETED" in shown.stdout
    got = dcctl("download", first, "-o", tmp_path, *server)
    assert got.returncode == 0, got.stderr
    assert leftovers(tmp_path) == ["tiny.mp4"]
    again = dcctl("download", first, "-o", tmp_path / "tiny.mp4", *server)
    assert again.returncode == 7
    refused = dcctl("jobs", "cancel", first, *server)
    assert refused.returncode == 11


@pytest.mark.parametrize("capacity", [4096, 65536])
def test_stderr_that_nobody_reads_holds_nothing_up(
    farm: Up, clips: Clips, tmp_path: Path, capacity: int
) -> None:
    out = tmp_path / "out.mp4"
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, capacity)
    with os.fdopen(reader) as unread:
        process = subprocess.Popen(
            [
                DCCTL, "transcode", clips.long, "-o", out, "-p", "h264-480p",
                "--progress", "json", "--server", farm.address,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=writer,
        )  # fmt: skip
        os.close(writer)
        assert process.wait(timeout=60) == 0
        lines = unread.read().splitlines()
    assert _frames(out) == _frames(clips.long)
    if capacity == 65536:  # there was room for the end
        events = [json.loads(line) for line in lines]
        states = [event["job"]["state"] for event in events if event["event"] == "job"]
        assert states[-1] == "COMPLETED"
        assert events[-1]["event"] == "download"
        assert events[-1]["done_bytes"] == events[-1]["total_bytes"] == out.stat().st_size


def test_why_a_job_failed_is_said_once(farm: Up, clips: Clips) -> None:
    server = ("--server", farm.address)
    broken = clips.half(clips.tiny)
    job = dcctl("submit", broken, "-p", "h264-480p", "--max-retries", "0", *server).stdout.strip()
    watched = dcctl("jobs", "watch", job, *server)
    assert watched.returncode == 3, watched.stderr
    assert watched.stderr.count("failed") == 1
    assert watched.stdout == ""


def test_ids_may_be_shortened(farm: Up, clips: Clips) -> None:
    server = ("--server", farm.address)
    job = dcctl("submit", clips.tiny, "-p", "copy", *server).stdout.strip()
    found = dcctl("jobs", "get", job[:14].upper(), "--json", *server)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["job"]["name"] == f"jobs/{job}"
    assert dcctl("jobs", "watch", job, *server).returncode == 0


def test_engines_profiles_and_version(farm: Up) -> None:
    server = ("--server", farm.address)
    (engine,) = json.loads(dcctl("engines", "list", "--json", *server).stdout)["engines"]
    assert engine["state"] == "ONLINE"
    shown = dcctl("engines", "get", engine["name"].removeprefix("engines/"), *server)
    assert "libx264" in shown.stdout
    profiles = json.loads(dcctl("profiles", "list", "--json", *server).stdout)["profiles"]
    names = [profile["name"] for profile in profiles]
    assert {"h264-720p", "hevc-1080p", "av1-1080p", "vp9-720p", "audio-opus", "copy"} <= set(names)
    assert "crf 21" in dcctl("profiles", "get", "h264-720p", *server).stdout
    assert "1 engine online" in dcctl("version", *server).stdout


def test_help_is_quick_to_read_and_says_the_exit_codes() -> None:
    done = dcctl("--help")
    assert done.returncode == 0
    assert "Exit codes:" in done.stdout


@pytest.mark.parametrize("embedded", [False, True], ids=["at a server", "embedded"])
def test_the_loser_of_two_with_one_output_is_told_where_its_result_is(
    farm: Up, clips: Clips, tmp_path: Path, start: Callable[..., Run], *, embedded: bool
) -> None:
    out = tmp_path / "a.mp4"
    where = ("--embedded",) if embedded else ("--server", farm.address)
    run = start(
        "transcode", clips.tiny, "-o", out, "-p", "h264-480p", "--progress", "json", "--json",
        *where,
    )  # fmt: skip
    job = run.event(lambda e: e["event"] == "job")["job"]["name"].removeprefix("jobs/")
    out.write_text("the winner's")
    code, stdout, stderr = run.end()
    assert code == 7
    error = json.loads(stdout)["error"]
    assert error["reason"] == "ALREADY_EXISTS"
    assert "the result is not lost" in stderr
    assert out.read_text() == "the winner's"
    if embedded:
        assert error["metadata"]["saved_as"] == str(tmp_path / f"a.{job}.mp4")
        rescued = tmp_path / f"a.{job}.mp4"
    else:
        assert f"dcctl download {job} -o OUTPUT" in stderr
        assert error["metadata"]["object"].startswith("objects/")
        rescued = tmp_path / "rescued.mp4"
        fetched = dcctl("download", job, "-o", rescued, "--server", farm.address)
        assert fetched.returncode == 0, fetched.stderr
    assert _frames(rescued) == _frames(clips.tiny)


def test_a_result_is_not_fetched_under_a_name_of_another_kind(
    farm: Up, clips: Clips, tmp_path: Path
) -> None:
    server = ("--server", farm.address)
    job = dcctl("submit", clips.tiny, "-p", "h264-480p", *server).stdout.strip()
    refused = dcctl("download", job, "--wait", "-o", tmp_path / "a.webm", "--json", *server)
    assert refused.returncode == 3
    error = json.loads(refused.stdout)["error"]
    assert error["metadata"]["field"] == "output"
    assert f"the result of job {job} is MP4" in error["message"]
    assert f"name it '{tmp_path / 'a.mp4'}'" in error["message"]
    assert leftovers(tmp_path) == []
    assert dcctl("download", job, "--wait", "-o", tmp_path / "a", *server).returncode == 0
    shown = dcctl("jobs", "get", job, "--json", *server)
    result = json.loads(shown.stdout)["job"]["output"]["object"]
    refused = dcctl("objects", "get", result, "-o", tmp_path / "a.mkv", *server)
    assert refused.returncode == 3
    assert f"the result of job {job} is MP4" in refused.stderr
    assert dcctl("objects", "get", result, "-o", tmp_path / "b.mp4", *server).returncode == 0


def test_a_result_that_is_no_longer_stored_is_said_to_be_gone(
    farm: Up, own_clip: Path, tmp_path: Path
) -> None:
    server = ("--server", farm.address)
    done = dcctl("transcode", own_clip, "-o", tmp_path / "a.mkv", "-p", "copy", "--json", *server)
    job = json.loads(done.stdout)["job"]["name"].removeprefix("jobs/")
    gone = dcctl("download", job, "-o", tmp_path / "b.mkv", *server)
    assert gone.returncode != 0
    assert f"the result of job {job} is no longer stored" in gone.stderr
    assert leftovers(tmp_path) == ["a.mkv"]
