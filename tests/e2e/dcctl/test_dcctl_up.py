"""`dcctl up` when something of it cannot run."""

import stat
from pathlib import Path

from tests.e2e.conftest import Up, dcctl


def test_a_revoked_engine_is_given_up_and_all_else_goes_on(tmp_path: Path) -> None:
    data_dir = tmp_path / "new"
    up = Up(data_dir, "--engines", "1")
    try:
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
        engine = (data_dir / "engine-1" / "engine-id").read_text().strip()
        revoked = dcctl("engines", "revoke", engine, "--yes", "--server", up.address)
        assert revoked.returncode == 0, revoked.stderr
        assert up.process.stdout is not None
        told = up.process.stdout.readline()
        assert "engine 1 is not started again" in told
        assert str(data_dir / "engine-1" / "engine-id") in told
        assert dcctl("jobs", "list", "--server", up.address).returncode == 0
    finally:
        assert up.stop() == 0
    again = Up(data_dir, "--engines", "1")  # it gets ready, though without the engine
    try:
        assert dcctl("jobs", "list", "--server", again.address).returncode == 0
    finally:
        assert again.stop() == 0


def test_a_taken_port_and_a_damaged_database_are_one_line_and_a_code_of_their_own(
    idle: Up, tmp_path: Path
) -> None:
    taken = dcctl("up", "--bind", idle.address, "--data-dir", tmp_path / "a")
    assert taken.returncode == 3
    assert taken.stderr.startswith(f"error: cannot listen on {idle.address}")
    assert taken.stderr.count("\n") == 1
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "dispatch.db").write_bytes(b"no database" * 1000)
    damaged = dcctl("up", "--bind", "127.0.0.1:0", "--data-dir", tmp_path / "b")
    assert damaged.returncode == 12
    assert damaged.stderr.startswith("error: ")
    assert damaged.stderr.count("\n") == 1
