"""Stored files that were damaged where they lie: said at once, passed over, and sent again."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Clips, Up, dcctl


@pytest.fixture
def stored(idle: Up, own_clip: Path) -> Iterator[str]:
    """The id of a stored video, which is removed afterwards."""
    put = dcctl("objects", "put", own_clip, "--server", idle.address)
    assert put.returncode == 0, put.stderr
    yield put.stdout.strip()
    dcctl("objects", "rm", put.stdout.strip(), "--yes", "--server", idle.address)


def _cut(up: Up, object_id: str) -> str:
    """Cut an object's content short; return how the damage is told."""
    (content,) = up.data_dir.rglob(f"objects/local/data/{object_id}.*")
    size_bytes = content.stat().st_size
    os.truncate(content, 1000)
    return f"objects/{object_id} is damaged: 1000 of {size_bytes} bytes are stored"


def _break_record(up: Up, object_id: str) -> None:
    (record,) = up.data_dir.rglob(f"objects/local/objects/{object_id}")
    record.write_bytes(record.read_bytes()[:20])


def test_a_file_that_was_cut_short_is_damaged_and_its_server_is_there(
    idle: Up, stored: str, tmp_path: Path
) -> None:
    told = _cut(idle, stored)
    got = dcctl("objects", "get", stored, "-o", tmp_path / "out", "--server", idle.address)
    assert got.returncode == 12
    assert told in got.stderr
    assert "broke" not in got.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [_cut, _break_record])
def test_what_is_damaged_is_sent_again(
    idle: Up, own_clip: Path, stored: str, damage: Callable[[Up, str], object]
) -> None:
    damage(idle, stored)
    done = dcctl("submit", own_clip, "-p", "h264-480p", "--server", idle.address)
    assert done.returncode == 0, done.stderr
    assert "stored already" not in done.stderr
    job = done.stdout.strip()
    shown = dcctl("jobs", "get", job, "--json", "--server", idle.address)
    source = json.loads(shown.stdout)["job"]["source"]["object"]
    assert source != f"objects/{stored}"
    dcctl("jobs", "cancel", job, "--server", idle.address)
    removed = dcctl("objects", "rm", source, "--yes", "--server", idle.address)
    assert removed.returncode == 0, removed.stderr


def test_one_damaged_record_hides_no_other_and_can_be_removed(
    idle: Up, clips: Clips, stored: str, tmp_path: Path
) -> None:
    source = clips.own(clips.tiny, tmp_path)
    other = dcctl("objects", "put", source, "--server", idle.address).stdout.strip()
    _break_record(idle, stored)
    listed = dcctl("objects", "list", "--all", "--server", idle.address)
    assert other in listed.stdout, listed.stderr
    got = dcctl("objects", "get", stored, "--server", idle.address)
    assert got.returncode == 12
    assert f"objects/{stored} is damaged: its record" in got.stderr
    removed = dcctl("objects", "rm", stored, other, "--yes", "--server", idle.address)
    assert removed.returncode == 0, removed.stderr
