"""What people do with stored files from the command line."""

import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Run, Up, dcctl

CONTENT = os.urandom(3_000_000)


def _ok(up: Up, *arguments: str | Path) -> str:
    done = dcctl("objects", *arguments, "--server", up.address)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _listed(up: Up, *arguments: str) -> list[dict[str, Any]]:
    found = json.loads(_ok(up, "list", *arguments, "--json"))
    return list(found["objects"])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "Ka\u0308se f\u00fcr alle.mov"  # the a with its dots as macOS writes it
    path.write_bytes(CONTENT)
    return path


def test_a_file_is_put_listed_fetched_and_removed(idle: Up, source: Path, tmp_path: Path) -> None:
    one = _ok(idle, "put", source, "--label", "show=pilot").strip()
    (listed,) = _listed(idle, "--prefix", "K\u00e4se", "--label", "show=pilot", "--since", "1h")
    assert listed["name"] == f"objects/{one}"
    assert listed["size_bytes"] == len(CONTENT)
    assert listed["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert listed["state"] == "COMMITTED"
    assert listed["labels"] == {"show": "pilot"}
    assert not _listed(idle, "--prefix", "K\u00e4se", "--before", "1h")
    assert one in _ok(idle, "list")
    folder = tmp_path / "back"
    folder.mkdir()
    path = Path(_ok(idle, "get", one[:14], "-o", folder).strip())
    assert path == folder / "K\u00e4se f\u00fcr alle.mov"
    assert path.read_bytes() == CONTENT
    assert _ok(idle, "rm", one, "--yes").strip() == one
    assert one not in _ok(idle, "list", "--all")
    gone = dcctl("objects", "get", one, "-o", tmp_path / "x", "--server", idle.address)
    assert gone.returncode != 0
    assert "there is no object" in gone.stderr


def test_of_several_files_it_is_said_which_object_is_whose(idle: Up, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.mov", "two.mov")]
    for file in files:
        file.write_bytes(os.urandom(1000))
    done = dcctl("objects", "put", *files, "--server", idle.address)
    ids = done.stdout.split()
    for file, one in zip(files, ids, strict=True):
        assert f"'{file}' is {one}" in done.stderr
    put = json.loads(_ok(idle, "put", *files, "--json"))["objects"]
    assert [one["input"] for one in put] == [str(file) for file in files]
    none = tmp_path / "none.mov"
    failed = dcctl("objects", "put", none, "--json", "--server", idle.address)
    assert failed.returncode == 3
    said = json.loads(failed.stdout)
    assert (said["objects"], said["errors"][0]["input"]) == ([], str(none))


def test_nothing_is_removed_unasked_nor_what_a_job_needs(idle: Up, own_clip: Path) -> None:
    done = dcctl("submit", own_clip, "-p", "h264-480p", "--server", idle.address)
    job = done.stdout.strip()
    shown = dcctl("jobs", "get", job, "--json", "--server", idle.address)
    source = json.loads(shown.stdout)["job"]["source"]["object"]
    unasked = dcctl("objects", "rm", source, "--server", idle.address)
    assert unasked.returncode == 2
    assert "Say --yes" in unasked.stderr
    needed = dcctl("objects", "rm", source, "--yes", "--server", idle.address)
    assert needed.returncode == 11
    assert "is the source of a job that has not ended; cancel it first" in needed.stderr
    dcctl("jobs", "cancel", job, "--server", idle.address)
    _ok(idle, "rm", source, "--yes")
    again = dcctl("jobs", "retry", job, "--server", idle.address)
    assert again.returncode != 0
    assert "is gone" in again.stderr


def test_a_download_that_was_killed_goes_on_where_it_broke_off(
    idle: Up, tmp_path: Path, start: Callable[..., Run]
) -> None:
    content = os.urandom(120_000_000)
    (tmp_path / "big.bin").write_bytes(content)
    one = _ok(idle, "put", tmp_path / "big.bin").strip()
    out = tmp_path / "out"
    out.mkdir()
    get = ("objects", "get", one, "-o", out, "--server", idle.address, "--progress", "json")
    run = start(*get)
    run.event(lambda e: e["event"] == "download" and e["done_bytes"] > 0)
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()
    (part,) = out.iterdir()
    assert part.name.startswith(".big.bin.part-")
    kept = part.stat().st_size
    again = start(*get)
    first = again.event(lambda e: e["event"] == "download")
    assert first["done_bytes"] == kept
    code, _, _ = again.end()
    assert code == 0
    assert [path.name for path in out.iterdir()] == ["big.bin"]
    assert (out / "big.bin").read_bytes() == content
    _ok(idle, "rm", one, "--yes")


def test_what_is_stored_already_is_not_sent_again(idle: Up, source: Path) -> None:
    stored = _ok(idle, "put", source).strip()
    submit = ("submit", source, "-p", "h264-480p", "--server", idle.address)
    first = dcctl(*submit)
    assert first.returncode == 0, first.stderr
    assert f"is stored already as objects/{stored}: nothing was sent" in first.stderr
    assert "uploading" not in first.stderr
    shown = dcctl("jobs", "get", first.stdout.strip(), "--json", "--server", idle.address)
    assert json.loads(shown.stdout)["job"]["source"]["object"] == f"objects/{stored}"
    dcctl("jobs", "cancel", first.stdout.strip(), "--server", idle.address)
    _ok(idle, "rm", stored, "--yes")
    again = dcctl(*submit)
    assert again.returncode == 0
    assert "stored already" not in again.stderr
    dcctl("jobs", "cancel", again.stdout.strip(), "--server", idle.address)


def test_put_sends_nothing_twice_that_is_called_the_same(idle: Up, source: Path) -> None:
    one = _ok(idle, "put", source).strip()
    again = dcctl("objects", "put", source, source, "--server", idle.address)
    assert again.stdout.split() == [one, one]
    assert f"is stored already as objects/{one}: nothing was sent" in again.stderr
    labelled = _ok(idle, "put", source, "--label", "show=pilot").strip()
    assert labelled != one
    renamed = source.rename(source.with_name("renamed.mov"))
    assert _ok(idle, "put", renamed).strip() not in (one, labelled)
    for stored in _listed(idle):
        if stored["size_bytes"] == len(CONTENT):
            _ok(idle, "rm", stored["name"], "--yes")


def test_a_result_is_named_like_its_source(farm: Up, own_clip: Path, tmp_path: Path) -> None:
    job = dcctl("submit", own_clip, "-p", "copy", "--server", farm.address).stdout.strip()
    assert dcctl("jobs", "watch", job, "--server", farm.address).returncode == 0
    (result,) = _listed(farm, "--label", f"distconv.job={job}")
    got = dcctl("objects", "get", result["name"], "--server", farm.address, cwd=tmp_path)
    assert got.returncode == 0, got.stderr
    assert Path(got.stdout.strip()) == tmp_path / "own.mkv"


def test_nothing_that_is_whole_is_collected(idle: Up, source: Path) -> None:
    stored = _ok(idle, "put", source).strip()
    would = json.loads(_ok(idle, "gc", "--dry-run", "--json"))
    assert would == {"collected": [], "size_bytes": 0, "dry_run": True}
    done = dcctl("objects", "gc", "--server", idle.address)
    assert done.returncode == 0
    assert "nothing to collect" in done.stderr
    assert stored in _ok(idle, "list", "--all")
    _ok(idle, "rm", stored, "--yes")


def test_the_main_pool_is_shown_with_its_room(idle: Up) -> None:
    (pool,) = json.loads(_ok(idle, "pools", "--json"))["pools"]
    assert (pool["name"], pool["capacity_bytes"]) == ("main", None)
    assert pool["free_bytes"] > 0
    assert "main" in _ok(idle, "pools")
