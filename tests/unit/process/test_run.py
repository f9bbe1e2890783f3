import subprocess
import sys

_HANGS = """
import asyncio, sys
from distconv.process.run import end_within, run

async def main(stop):
    end_within(0.01)
    await asyncio.Event().wait()

sys.exit(run(main))
"""


def test_a_stop_that_hangs_is_forced_and_says_what_it_waited_for() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _HANGS], check=False, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert "stop_took_too_long" in ended.stdout + ended.stderr
    assert "_until_stopped" in ended.stdout + ended.stderr
