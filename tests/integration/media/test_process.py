import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from distconv.core.errors import EncodeFailedError, StalledError, UnavailableError
from distconv.media.process import RunLimits, run_process
from distconv.media.progress import Progress
from distconv.media.sandbox import Confined, Limits, RlimitSandbox

SANDBOX = RlimitSandbox()
CAT = "import os\nwhile d := os.read(0, 65536): os.write(1, d)\n"


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", "-c", code)


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


class Collected:
    def __init__(self) -> None:
        self.data = bytearray()
        self.largest = 0

    async def take(self, data: memoryview) -> None:
        self.data += data
        self.largest = max(self.largest, len(data))


async def test_bytes_go_through_unchanged() -> None:
    payload = [bytes([k]) * 100_003 for k in range(40)]
    out = Collected()
    result = await run_process(
        lambda _: python(CAT),
        sandbox=SANDBOX,
        limits=RunLimits(chunk_bytes=65_536),
        feed=pieces(*payload),
        take=out.take,
    )
    assert bytes(out.data) == b"".join(payload)
    assert result.exit_code == 0
    assert (result.stdin_bytes, result.stdout_bytes) == (4_000_120, 4_000_120)
    assert out.largest == 65_536


async def test_small_output_does_not_wait_for_a_full_chunk() -> None:
    arrived = asyncio.Event()

    async def feed() -> AsyncIterator[bytes]:
        yield b"x"
        await arrived.wait()

    async def take(data: memoryview) -> None:
        assert bytes(data) == b"x"
        arrived.set()

    limits = RunLimits(chunk_delay_s=0.05)
    result = await run_process(
        lambda _: python(CAT), sandbox=SANDBOX, limits=limits, feed=feed(), take=take
    )
    assert result.exit_code == 0


async def test_stderr_is_drained_and_its_end_kept() -> None:
    code = "import sys\nfor k in range(100000): print('line', k, file=sys.stderr)\nsys.exit(3)"
    result = await run_process(lambda _: python(code), sandbox=SANDBOX, limits=RunLimits())
    assert result.exit_code == 3
    assert len(result.stderr_tail) == 40
    assert result.stderr_tail[-1] == "line 99999"


async def test_progress_comes_over_its_own_pipe() -> None:
    reports: list[Progress] = []
    result = await run_process(
        lambda fd: python(f"import os; os.write({fd}, b'frame=7\\nprogress=end\\n')"),
        sandbox=SANDBOX,
        limits=RunLimits(),
        on_progress=reports.append,
    )
    assert reports == [Progress(frame=7, ended=True)]
    assert result.last_progress == reports[0]


async def test_a_child_that_stops_reading_is_noticed() -> None:
    seen = 0

    async def feed() -> AsyncIterator[bytes]:
        nonlocal seen
        for _ in range(100):
            seen += 1
            yield bytes(100_000)

    result = await run_process(
        lambda _: python("import os; os.read(0, 10)"),
        sandbox=SANDBOX,
        limits=RunLimits(),
        feed=feed(),
    )
    assert result.exit_code == 0
    assert result.stdin_closed_early
    assert seen == 100  # read to its end all the same, for those who count


async def test_a_broken_feed_kills_before_stdin_closes(tmp_path: Path) -> None:
    """A child that saw its stdin close would take half of the source for all of it."""
    marker = tmp_path / "saw-the-end"
    started = tmp_path / "started"
    code = (
        f"import os, pathlib\npathlib.Path({str(started)!r}).touch()\n"
        f"while os.read(0, 65536): pass\npathlib.Path({str(marker)!r}).touch()\n"
    )

    async def feed() -> AsyncIterator[bytes]:
        yield b"x"
        while not started.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.005)
        raise UnavailableError("the source is gone")

    pids: list[int] = []
    with pytest.raises(UnavailableError, match="the source is gone"):
        await run_process(
            lambda _: python(code),
            sandbox=SANDBOX,
            limits=RunLimits(),
            feed=feed(),
            on_start=pids.append,
        )
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert not marker.exists()


async def test_no_progress_is_a_stall() -> None:
    with pytest.raises(StalledError, match=r"for 0\.2 s"):
        await run_process(
            lambda _: python("import time; time.sleep(60)"),
            sandbox=SANDBOX,
            limits=RunLimits(stall_timeout_s=0.2),
            feed=pieces(b"x"),
        )


async def test_reports_that_say_nothing_new_are_no_progress() -> None:
    def argv(fd: int) -> tuple[str, ...]:
        return python(
            "import os, time\n"
            f"while True: os.write({fd}, b'frame=1\\nprogress=continue\\n'); time.sleep(0.02)\n"
        )

    with pytest.raises(StalledError):
        await run_process(argv, sandbox=SANDBOX, limits=RunLimits(stall_timeout_s=0.3))


async def test_a_group_that_heeds_no_term_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = (
        "import os, pathlib, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"os.fork()\npathlib.Path({str(ready)!r}).touch()\ntime.sleep(60)\n"
    )
    pids: list[int] = []
    task = asyncio.create_task(
        run_process(
            lambda _: python(code),
            sandbox=SANDBOX,
            limits=RunLimits(grace_s=0.05),
            on_start=pids.append,
        )
    )
    while not ready.exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while _group_members(pids[0]):  # noqa: ASYNC110 - init reaps the grandchild
        await asyncio.sleep(0.005)


def _group_members(group: int) -> list[str]:
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] not in "ZX":
                members.append(entry.name)
    return members


async def test_what_cannot_be_started_says_so() -> None:
    result = await run_process(
        lambda _: ("/nonexistent/ffmpeg",), sandbox=SANDBOX, limits=RunLimits()
    )
    assert result.exit_code == 126
    assert result.stderr_tail == ("/nonexistent/ffmpeg: No such file or directory",)


class BareSandbox:
    """Hold nothing in."""

    def confine(
        self,
        argv: Sequence[str],
        *,
        limits: Limits,
        readable: Sequence[Path] = (),
        writable: Sequence[Path] = (),
    ) -> Confined:
        return Confined(argv=tuple(argv), env={})


async def test_what_cannot_even_be_forked_is_an_error_of_ours() -> None:
    with pytest.raises(EncodeFailedError, match="cannot be started"):
        await run_process(
            lambda _: ("/nonexistent/ffmpeg",), sandbox=BareSandbox(), limits=RunLimits()
        )


async def test_the_limit_on_files_holds(tmp_path: Path) -> None:
    target = tmp_path / "file"
    code = f"open({str(target)!r}, 'wb').write(bytes(3 << 20))"
    result = await run_process(
        lambda _: python(code),
        sandbox=SANDBOX,
        limits=RunLimits(sandbox=Limits(file_size_bytes=1 << 20)),
    )
    assert result.exit_code != 0
    assert target.stat().st_size <= 1 << 20


PARENT = """
import asyncio, sys
from distconv.media.process import RunLimits, run_process
from distconv.media.sandbox import RlimitSandbox

CHILD = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
argv = (sys.executable, "-I", "-S", "-c", CHILD, sys.argv[1])
asyncio.run(run_process(lambda _: argv, sandbox=RlimitSandbox(), limits=RunLimits()))
"""


async def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    """SIGKILL of the parent leaves no child behind, whatever it does."""
    pid_file = tmp_path / "pid"
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, str(pid_file))
    while not (pid_file.exists() and pid_file.read_text()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    child = os.pidfd_open(int(pid_file.read_text()))
    parent.kill()
    await parent.wait()
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(child, gone.set)
    try:
        async with asyncio.timeout(5):
            await gone.wait()
    finally:
        asyncio.get_running_loop().remove_reader(child)
        os.close(child)
