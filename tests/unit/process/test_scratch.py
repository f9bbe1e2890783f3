import signal
import subprocess
import sys
from pathlib import Path

from distconv.process.scratch import ProcessFolder

_OWNER = """
import sys, signal
from pathlib import Path
from distconv.process.scratch import ProcessFolder
folder = ProcessFolder(Path(sys.argv[1]))
folder.open()
(folder.path / "left").write_bytes(b"x")
print(folder.path, flush=True)
signal.pause()
"""


def owner(root: Path) -> tuple["subprocess.Popen[str]", Path]:
    """Start a process that owns a folder and a file in it."""
    process = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_goes_at_the_next_start_and_nothing_else(tmp_path: Path) -> None:
    dead, left = owner(tmp_path)
    living, kept = owner(tmp_path)
    foreign = tmp_path / "holiday.mov"
    foreign.write_bytes(b"not ours")
    dead.send_signal(signal.SIGKILL)
    dead.communicate()
    assert (left / "left").exists()
    folder = ProcessFolder(tmp_path)
    folder.open()
    assert not left.exists()
    assert (kept / "left").exists()
    assert foreign.exists()
    folder.close()
    assert not folder.path.exists()
    living.kill()
    living.communicate()


def test_a_folder_whose_process_died_before_it_had_the_lock_goes(tmp_path: Path) -> None:
    (tmp_path / "process-0123").mkdir()
    folder = ProcessFolder(tmp_path)
    folder.open()
    assert list(tmp_path.glob("process-*")) == [folder.path]
    folder.close()
    folder.close()
