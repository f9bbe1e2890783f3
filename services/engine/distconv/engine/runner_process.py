"""A runner as the supervisor sees it: a process of its own for one attempt."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator

from distconv.engine import wire
from distconv.engine.frames import pack_frame, read_frame
from distconv.engine.work import Said
from distconv.media.child import Child, Exit, start
from distconv.media.pipes import open_pipe
from distconv.media.sandbox import Confined

_MODULE = "distconv.engine.runner.main"


class RunnerProcess:
    """A runner process, warm: it has loaded what it needs and waits for its one attempt."""

    def __init__(self, child: Child, stdin_fd: int, stdout_fd: int) -> None:
        self._child = child
        self._stdin_fd = stdin_fd
        self._stdout_fd = stdout_fd

    @classmethod
    def spawn(cls, config: bytes) -> "RunnerProcess":
        """Start one; `config` is its RunnerConfig. Raises EncodeFailedError when it cannot be."""
        stdin_read, stdin_write = open_pipe()
        stdout_read, stdout_write = open_pipe()
        command = Confined(argv=(sys.executable, "-m", _MODULE), env=dict(os.environ), cwd=".")
        try:
            child = start(
                command, stdin=stdin_read, stdout=stdout_write, stderr=sys.stderr.fileno()
            )
        except BaseException:
            os.close(stdin_write)
            os.close(stdout_read)
            raise
        finally:
            os.close(stdin_read)
            os.close(stdout_write)
        runner = cls(child, stdin_write, stdout_read)
        runner._send(config)
        return runner

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._child.pid

    @property
    def exited(self) -> bool:
        """Say whether it has ended."""
        return self._child.exited

    def assign(self, payload: bytes, dispatch_address: str) -> None:
        """Give it its attempt: an Assignment as it came, and whom it came from."""
        self._send(dispatch_address.encode())
        self._send(payload)

    def cancel(self) -> None:
        """Ask it to stop: the end of its input says so. Idempotent."""
        if self._stdin_fd >= 0:
            os.close(self._stdin_fd)
            self._stdin_fd = -1

    async def stop(self, grace_s: float) -> Exit:
        """Ask it to stop, kill it after `grace_s`, wait until it is gone."""
        self.cancel()
        try:
            async with asyncio.timeout(grace_s):
                return await self._child.wait()
        except TimeoutError:
            return await self._child.kill()

    async def wait(self) -> Exit:
        """Wait until it has ended."""
        return await self._child.wait()

    async def said(self) -> AsyncIterator[Said]:
        """Yield what it says until its output ends; may be used once."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        pipe = os.fdopen(self._stdout_fd, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            while (frame := await read_frame(reader)) is not None:
                yield wire.read_runner_frame(frame)
        finally:
            transport.close()

    def _send(self, payload: bytes) -> None:
        # The pipe holds 1 MiB, more than an assignment: this does not block the loop.
        view = memoryview(pack_frame(payload))
        with contextlib.suppress(BrokenPipeError):  # its death is told by `wait`
            while view:
                view = view[os.write(self._stdin_fd, view) :]
