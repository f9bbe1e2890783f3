"""Start, signal and reap a child process and its group on the event loop.

asyncio's own subprocesses start a thread for every child on Python 3.11 and
give no hold on the pipes; this uses pidfds. Because a zombie keeps its group's
number, the group is killed *before* its leader is reaped: no stray signal can
hit a stranger.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from distconv.core.errors import EncodeFailedError
from distconv.media.sandbox import Confined

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a child ended: its code (negative: the signal), CPU seconds and peak memory."""

    code: int
    cpu_time_s: float
    peak_memory_bytes: int


class Child:
    """A running child, leader of its own session and process group."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)
        self._exit: asyncio.Task[Exit] = asyncio.create_task(self._reap())

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    @property
    def exited(self) -> bool:
        """Say whether it has ended and been reaped."""
        return self._exit.done()

    async def wait(self) -> Exit:
        """Wait until it has ended."""
        return await asyncio.shield(self._exit)

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the whole group; harmless once it is gone."""
        if not self._exit.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    async def kill(self) -> Exit:
        """Kill the group now and wait until it is gone, even when cancelled meanwhile."""
        self.signal_group(signal.SIGKILL)
        return await uncancelled(self._exit)

    async def terminate(self, grace_s: float) -> Exit:
        """Ask the group to end, kill it after `grace_s`, wait until it is gone."""
        self.signal_group(signal.SIGTERM)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(grace_s, self.signal_group, signal.SIGKILL)
        try:
            return await uncancelled(self._exit)
        finally:
            timer.cancel()

    async def _reap(self) -> Exit:
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        loop.add_reader(self._pidfd, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        _, state, usage = os.wait4(self._process.pid, 0)  # noqa: ASYNC222 - it has ended already
        self._process.returncode = os.waitstatus_to_exitcode(state)
        return Exit(
            code=self._process.returncode,
            cpu_time_s=usage.ru_utime + usage.ru_stime,
            peak_memory_bytes=usage.ru_maxrss * 1024,  # Linux counts KiB
        )


def start(
    command: Confined, *, stdin: int, stdout: int, stderr: int, pass_fds: Sequence[int] = ()
) -> Child:
    """Start `command` on the descriptors given, which stay the caller's to close.

    Takes about a millisecond of the loop: it must run in the loop's own
    thread, to which the kernel ties the child's life. Raises EncodeFailedError
    when the command cannot be started.
    """
    try:
        process = subprocess.Popen(
            command.argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=dict(command.env),
            cwd=command.cwd,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    except OSError as error:
        raise EncodeFailedError(
            f"{command.argv[0]} cannot be started: {error.strerror}", argv=command.argv
        ) from error
    return Child(process)


async def uncancelled(awaitable: Awaitable[_T]) -> _T:
    """Wait to the end even when cancelled; then let the cancellation through."""
    task = asyncio.ensure_future(awaitable)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.done():
                break
            cancelled = error
        except BaseException:  # noqa: BLE001, S110 - raised by result() below
            pass
    if cancelled is not None:
        with contextlib.suppress(BaseException):
            task.result()
        raise cancelled
    return task.result()
