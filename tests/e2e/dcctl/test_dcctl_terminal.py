"""What a person sees: bars, questions and colours on a terminal."""

import os
import pty
import re
import subprocess
from pathlib import Path
from typing import IO

import pytest
from tests.e2e.conftest import DCCTL, Clips, Up


def _on_terminal(
    *arguments: str | Path, answer: bytes = b"", stdout: IO[bytes] | None = None
) -> tuple[int, str]:
    """Run dcctl on a terminal of its own; return its exit code and everything it showed there."""
    ours, theirs = pty.openpty()
    env = {k: v for k, v in os.environ.items() if not k.startswith("DISTCONV_")}
    process = subprocess.Popen(
        [str(DCCTL), *map(str, arguments)],
        stdin=theirs, stdout=stdout or theirs, stderr=theirs,
        env={**env, "TERM": "xterm-256color", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, answer)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # Linux says so when the other side has closed
        pass
    os.close(ours)
    return process.wait(timeout=60), shown.decode()


def test_bars_show_each_step(farm: Up, own_clip: Path, tmp_path: Path) -> None:
    code, shown = _on_terminal(
        "transcode", own_clip, "-o", tmp_path / "a.mp4", "-p", "h264-480p",
        "--server", farm.address,
    )  # fmt: skip
    assert code == 0, shown
    for word in ("upload", "encode", "download", "━", "100%", "H.264"):
        assert word in shown


def test_an_output_that_exists_is_asked_about(farm: Up, clips: Clips, tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    out.write_text("mine")
    arguments = ("transcode", clips.tiny, "-o", out, "-p", "copy", "--server", farm.address)
    code, shown = _on_terminal(*arguments, answer=b"n\n")
    assert code == 7
    assert "Replace it? [y/N]" in shown
    assert out.read_text() == "mine"
    code, shown = _on_terminal(*arguments, answer=b"y\n")
    assert code == 0, shown
    assert out.stat().st_size > 1000


def test_each_job_stands_beside_its_file(idle: Up, clips: Clips) -> None:
    code, shown = _on_terminal(
        "submit", clips.tiny, clips.tiny_mkv, "-p", "copy", "--server", idle.address,
    )  # fmt: skip
    assert code == 0, shown
    for file in (clips.tiny, clips.tiny_mkv):
        assert re.search(rf"[0-9a-z]{{16}}  {re.escape(str(file))}", shown), shown


def test_what_a_pipe_wants_is_not_shown_above_the_bars(
    idle: Up, clips: Clips, tmp_path: Path
) -> None:
    ids = tmp_path / "ids"
    with ids.open("wb") as stdout:
        code, shown = _on_terminal(
            "submit", clips.tiny, clips.tiny_mkv, "-p", "copy", "--server", idle.address,
            stdout=stdout,
        )  # fmt: skip
    assert code == 0, shown
    first, second = ids.read_text().split()
    assert f"'{clips.tiny_mkv}' is {second}" in shown
    assert f"is {first}" in shown


@pytest.mark.parametrize("redirected", ["2>/dev/full", "2>&-", ">&- 2>&- <&-"])
def test_progress_that_nobody_can_read_costs_nothing(
    farm: Up, clips: Clips, tmp_path: Path, redirected: str
) -> None:
    out = tmp_path / "a.mp4"
    done = subprocess.run(
        [
            "/bin/sh", "-c", f'exec "$0" "$@" {redirected}', str(DCCTL), "transcode",
            str(clips.tiny), "-o", str(out), "-p", "copy", "--server", farm.address,
        ],
        check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert out.stat().st_size > 1000
