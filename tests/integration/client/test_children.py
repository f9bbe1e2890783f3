import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from distconv.client.cli.children import Child, ChildSpec
from distconv.core.errors import (
    DataLossError,
    DistconvError,
    FailedPreconditionError,
    InvalidArgumentError,
    UnavailableError,
)


def _spec(code: str, log: Path) -> ChildSpec:
    return ChildSpec(title="the child", argv=(sys.executable, "-c", code), log=log)


_READY = "import json; print('chatter'); print(json.dumps({'event': 'ready', 'n': 1}), flush=True);"


async def test_the_ready_line_is_found_among_others(tmp_path: Path) -> None:
    child = await Child.start(_spec(_READY + "input()", tmp_path / "log"))
    assert (await child.ready())["n"] == 1
    await child.stop(5)


async def test_a_child_that_ends_early_leaves_its_last_words(tmp_path: Path) -> None:
    child = await Child.start(_spec("raise SystemExit('no luck today')", tmp_path / "log"))
    with pytest.raises(UnavailableError, match=r"ended with exit code 1 .*: no luck today"):
        await child.ready()


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("DATA_LOSS", DataLossError),
        ("UNAVAILABLE", InvalidArgumentError),
        ("ABORTED", FailedPreconditionError),
    ],
)
async def test_a_child_that_tells_why_it_ends_is_quoted(
    tmp_path: Path, reason: str, kind: type[DistconvError]
) -> None:
    event = {"event": "failed", "reason": reason, "message": "the port is taken"}
    child = await Child.start(_spec(f"print({json.dumps(event)!r})", tmp_path / "log"))
    with pytest.raises(kind, match=r"^the port is taken$"):
        await child.ready()
    assert child.last_words() == ": the port is taken"


async def test_a_child_that_will_not_end_is_made_to(tmp_path: Path) -> None:
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_READY} signal.pause()"
    child = await Child.start(_spec(code, tmp_path / "log"))
    await child.ready()
    await child.stop(0.1)
    assert await child.ended() == -9


async def test_a_child_hears_when_its_parent_is_killed(tmp_path: Path) -> None:
    """A parent starts a child that watches it, tells us the child's id, and is killed."""
    child = (
        "import asyncio\n"
        "from distconv.process.parent import watch_parent\n"
        "async def main():\n"
        "    stop = asyncio.Event(); watch_parent(stop); print('up', flush=True)\n"
        "    await stop.wait()\n"
        "    print('told', flush=True)\n"
        "asyncio.run(main())\n"
    )
    parent = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE)\n"
        "p.wait()\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"up\n"
    process.kill()
    assert await process.stdout.readline() == b"told\n"
    assert await process.stdout.read() == b""
    await process.wait()


async def test_a_closed_stdin_is_the_end_already(tmp_path: Path) -> None:
    code = (
        "import asyncio\n"
        "from distconv.process.parent import watch_parent\n"
        "async def main():\n"
        "    stop = asyncio.Event(); watch_parent(stop); await stop.wait(); print('told')\n"
        "asyncio.run(main())\n"
    )
    with (tmp_path / "empty").open("wb+") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdin=file, stdout=asyncio.subprocess.PIPE
        )
    out, _ = await process.communicate()
    assert out == b"told\n"
    assert process.returncode == os.EX_OK
