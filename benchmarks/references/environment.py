"""The virtual environment of the references, made when it is first needed."""

import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_VENV = _HERE.parent.parent / ".venv-bench"
_LOCK = _HERE / "requirements.lock"


def reference_bin() -> Path:
    """Return the folder of the references' commands; installs them when the lock has changed."""
    stamp = _VENV / ".ready"
    if not stamp.exists() or stamp.stat().st_mtime < _LOCK.stat().st_mtime:
        print("installing the references into .venv-bench…", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(_VENV)], check=True)
        subprocess.run(
            [str(_VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
            + ["--require-hashes", "--requirement", str(_LOCK)],
            check=True,
        )
        stamp.touch()
    return _VENV / "bin"
