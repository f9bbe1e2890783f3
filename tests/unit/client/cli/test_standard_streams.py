import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def _shell(
    command: str, redirected: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python code in dcctl's streams, of which some are redirected."""
    code = (
        "import sys; from distconv.client.cli.standard_streams import usable_streams\n"
        f"with usable_streams():\n {command}"
    )
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" {redirected}', sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )


def _dcctl(arguments: str, redirected: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            "/bin/sh", "-c", f'exec "$0" -m distconv.client.cli.main {arguments} {redirected}',
            sys.executable,
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@needs_full
def test_what_standard_error_does_not_take_costs_nothing() -> None:
    done = _shell(
        "print('lost', file=sys.stderr, flush=True); sys.stderr.write('lost too'); print('on')",
        "2>/dev/full",
    )
    assert (done.returncode, done.stdout) == (0, "on\n")


def test_streams_that_are_closed_are_there() -> None:
    done = _shell(
        "print('x', file=sys.stderr, flush=True); print('y', flush=True); sys.stdin.isatty(); "
        "sys.exit(0 if sys.stderr.isatty() is False and sys.stdout.isatty() is False else 9)",
        "<&- >&- 2>&-",
    )
    assert done.returncode == 0


@pytest.mark.parametrize("redirected", ["2>&-", "2>&- >&-", "<&- 2>&- >&-"])
def test_a_child_finds_closed_streams_open(redirected: str, tmp_path: Path) -> None:
    told = tmp_path / "told"
    done = _shell(
        "import subprocess; subprocess.run(['/bin/sh', '-c', 'echo x >&2 && touch \"$0\"', "
        f"'{told}'], check=True)",
        redirected,
    )
    assert done.returncode == 0
    assert told.exists()


def test_an_output_that_is_closed_does_not_fail() -> None:
    assert _dcctl("--help", ">&- 2>&-").returncode == 0
    done = _dcctl("nope", "2>&-")
    assert (done.returncode, done.stdout) == (2, "")


@needs_full
@pytest.mark.parametrize("arguments", ["--help", "--version"])
def test_an_output_on_a_full_disk_is_said_plainly(arguments: str) -> None:
    done = _dcctl(arguments, ">/dev/full")
    assert done.returncode == 8
    assert done.stderr == (
        f"error: what dcctl prints could not be written to stdout: {os.strerror(errno.ENOSPC)}\n"
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_an_encoding_cannot_hold_is_printed_all_the_same(encoding: str) -> None:
    done = _shell("print('\\u30d5.mp4')", f"# {encoding}", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\u30d5.mp4\n", "")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_json_is_json_in_every_encoding(stream: str, tmp_path: Path) -> None:
    file = tmp_path / "document"
    name = "caf\u00e9 \u30d5 \U0001f3ac \udcff"
    done = _shell(
        f"import json; print(json.dumps({name!a}, ensure_ascii=False), file=sys.{stream})",
        f"{'2' if stream == 'stderr' else ''}>'{file}'",
        PYTHONIOENCODING="ascii",
    )
    assert done.returncode == 0
    assert json.loads(file.read_text()) == name


def test_a_name_in_no_encoding_is_printed_as_its_bytes() -> None:
    done = _shell("print('\\udcff.mp4')", "| od -An -c", PYTHONIOENCODING="utf-8:surrogateescape")
    assert done.stdout.split()[0] == "377"


def test_a_reader_who_has_gone_is_told_of_quietly() -> None:
    done = _dcctl("--help", "| true")
    assert done.stderr == ""
