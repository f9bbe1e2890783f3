"""What operators do with jobs and engines from the command line."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Clips, Up, dcctl


def _ok(up: Up, *arguments: str | Path) -> str:
    done = dcctl(*arguments, "--server", up.address)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _json(up: Up, *arguments: str | Path) -> Any:
    return json.loads(_ok(up, *arguments, "--json"))


def _refused(up: Up, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    done = dcctl(*arguments, "--server", up.address)
    assert done.returncode != 0
    assert done.stderr.startswith("error: ")
    return done


@pytest.fixture
def jobs(idle: Up, clips: Clips) -> Sequence[str]:
    """Two jobs that wait, for there is no engine."""
    out = _ok(idle, "submit", clips.tiny, clips.tiny_mkv, "-p", "h264-480p", "--label", "set=a b")
    return out.split()


def test_jobs_are_held_changed_and_let_go(idle: Up, jobs: Sequence[str]) -> None:
    assert _ok(idle, "jobs", "pause", *jobs).split() == jobs
    shown = _json(idle, "jobs", "list", "--state", "paused")["jobs"]
    assert {job["name"].removeprefix("jobs/") for job in shown} >= set(jobs)
    assert _ok(idle, "jobs", "update", jobs[0], "--priority", "7", "--label", "x=y").split() == [
        jobs[0]
    ]
    changed = _json(idle, "jobs", "get", jobs[0])["job"]
    assert changed["priority"] == 7
    assert changed["labels"] == {"set": "a b", "x": "y"}
    assert changed["transfer_mode"] is None
    _ok(idle, "jobs", "update", jobs[0], "--transfer", "file")
    assert _json(idle, "jobs", "get", jobs[0])["job"]["transfer_mode"] == "FILE"
    assert ["transfer", "file"] in [
        line.split() for line in _ok(idle, "jobs", "get", jobs[0]).splitlines()
    ]
    _ok(idle, "jobs", "update", jobs[0], "--transfer", "none")
    assert _json(idle, "jobs", "get", jobs[0])["job"]["transfer_mode"] is None
    assert _ok(idle, "jobs", "resume", *jobs).split() == jobs
    refused = _refused(idle, "jobs", "resume", jobs[0])
    assert refused.returncode == 11
    assert "not PAUSED" in refused.stderr
    _ok(idle, "jobs", "cancel", *jobs)
    assert _ok(idle, "jobs", "retry", jobs[1]).split() == [jobs[1]]
    _ok(idle, "jobs", "cancel", jobs[1])


def test_lists_are_filtered_by_flags(idle: Up, jobs: Sequence[str], clips: Clips) -> None:
    def found(*flags: str) -> set[str]:
        return {job["name"].removeprefix("jobs/") for job in _json(idle, *_LIST, *flags)["jobs"]}

    assert found("--text", clips.tiny_mkv.name) >= {jobs[1]}
    assert jobs[1] not in found("--text", f"{clips.tiny.stem} mp4")
    assert found("--label", "set=a b", "--since", "1h") >= set(jobs)
    assert found("--label", "set=other") == set()
    assert found("--since", "2130-01-01") == set()
    assert found("--profile", "av1") == set()
    oldest = _json(idle, *_LIST, "--order", "oldest", "--limit", "1")["jobs"]
    assert len(oldest) == 1
    assert _json(idle, *_LIST, "--tenant", "nobody") == {"jobs": []}
    _ok(idle, "jobs", "cancel", *jobs)


_LIST = ("jobs", "list")


def test_what_happened_and_why_is_told(idle: Up, jobs: Sequence[str]) -> None:
    said = _ok(idle, "jobs", "explain", jobs[0])
    assert "no engine" in said
    story = _ok(idle, "jobs", "history", jobs[0])
    assert "PENDING: created by local" in story
    tasks = _json(idle, "jobs", "tasks", jobs[0])["tasks"]
    assert [task["kind"] for task in tasks][-1] == "TRANSCODE"
    assert jobs[0] in _ok(idle, "jobs", "tasks", "--state", "READY")
    _ok(idle, "jobs", "cancel", *jobs)


def test_deleting_asks_first(idle: Up, jobs: Sequence[str]) -> None:
    _ok(idle, "jobs", "cancel", *jobs)
    refused = _refused(idle, "jobs", "delete", jobs[0])
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert _ok(idle, "jobs", "delete", jobs[0], "--yes").split() == [jobs[0]]
    listed = [job["name"] for job in _json(idle, "jobs", "list", "--all")["jobs"]]
    assert f"jobs/{jobs[0]}" not in listed
    deleted = [job["name"] for job in _json(idle, "jobs", "list", "--deleted", "--all")["jobs"]]
    assert f"jobs/{jobs[0]}" in deleted
    assert _json(idle, "jobs", "get", jobs[0])["job"]["delete_time"]


def test_one_of_several_that_fails_does_not_stop_the_others(idle: Up, jobs: Sequence[str]) -> None:
    done = dcctl("jobs", "pause", "zzzz", *jobs, "--server", idle.address)
    assert done.returncode == 4
    assert done.stdout.split() == jobs
    assert "1 of 3 jobs could not be paused" in done.stderr
    again = dcctl("jobs", "resume", "zzzz", *jobs, "--json", "--server", idle.address)
    assert again.returncode == 4
    said = json.loads(again.stdout)
    assert [job["name"] for job in said["jobs"]] == [f"jobs/{job}" for job in jobs]
    assert [(error["name"], error["reason"]) for error in said["errors"]] == [
        ("jobs/zzzz", "NOT_FOUND")
    ]
    alone = dcctl("jobs", "pause", "zzzz", "--json", "--server", idle.address)
    assert alone.returncode == 4
    assert json.loads(alone.stdout) == {"jobs": [], "errors": said["errors"]}
    assert alone.stderr == f"error: {said['errors'][0]['message']}\n"
    _ok(idle, "jobs", "cancel", *jobs)


def test_a_batch_is_created_from_lines(idle: Up, jobs: Sequence[str], tmp_path: Path) -> None:
    source = _json(idle, "jobs", "get", jobs[0])["job"]["source"]["object"]
    lines = [
        {"source": source, "profile": "h264", "file_name": f"{k}.mkv", "priority": k}
        for k in range(3)
    ]
    file = tmp_path / "batch.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    made = _ok(idle, "jobs", "batch", file).split()
    assert len(made) == 3
    assert _json(idle, "jobs", "get", made[2])["job"]["priority"] == 2
    file.write_text('{"source": "x"}')
    assert (
        "line 1 is not a job: it has no 'profile'" in _refused(idle, "jobs", "batch", file).stderr
    )
    for bad, words in (
        ({"profile": "nope"}, "no profile is named 'nope'"),
        ({"priority": 999}, "priority is not acceptable: 999"),
        ({"source": "objects/1zzzzzzzzzzzzzzz"}, "there is no object"),
    ):
        file.write_text(f"{json.dumps(lines[0])}\n\n{json.dumps(lines[1] | bad)}")
        said = _refused(idle, "jobs", "batch", file).stderr
        assert said.startswith(f"error: line 3: {words}")
        assert "requests[" not in said
    _ok(idle, "jobs", "cancel", *jobs, *made)


def test_engines_are_taken_out_and_put_back(farm: Up) -> None:
    (engine,) = _json(farm, "engines", "list", "--state", "ONLINE")["engines"]
    name = engine["name"].removeprefix("engines/")
    assert _ok(farm, "engines", "drain", name, "--wait").split() == [name]
    assert _json(farm, "engines", "get", name)["state"] == "MAINTENANCE"
    assert "in maintenance" in _ok(farm, "engines", "list")
    assert _ok(farm, "engines", "maintenance", "off", name).split() == [name]
    assert _json(farm, "engines", "get", name)["state"] == "ONLINE"
    assert _refused(farm, "engines", "revoke", name).returncode == 2
    assert _refused(farm, "engines", "maintenance", "on", "zzzz").returncode == 4


def test_an_engine_is_named_by_its_name(farm: Up) -> None:
    (engine,) = _json(farm, "engines", "list", "--state", "ONLINE")["engines"]
    called, name = engine["display_name"], engine["name"].removeprefix("engines/")
    assert called
    assert _json(farm, "engines", "get", called)["name"] == engine["name"]
    assert _ok(farm, "engines", "maintenance", "off", called).split() == [name]
    given = _json(farm, "jobs", "list", "--engine", called, "--all")
    assert given == _json(farm, "jobs", "list", "--engine", name, "--all")
    tasks = _json(farm, "jobs", "tasks", "--engine", called)
    assert tasks == _json(farm, "jobs", "tasks", "--engine", name)
    assert _refused(farm, "engines", "get", f"{called}-no").returncode in (3, 4)
