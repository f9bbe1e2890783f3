"""A service as a child process: its command line, its ready line, its end."""

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distconv.core.errors import (
    DataLossError,
    DiskFullError,
    DistconvError,
    FailedPreconditionError,
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)

# Importing, migrating and listening take about a second; a laden machine may take many.
_READY_S = 60.0
_KEPT_LOG_BYTES = 4096
# What a child's own error is to us; any other is that it could not run as things stand.
_FAILURES: dict[str, type[DistconvError]] = {
    # It could not use the port or the folder that it was given.
    UnavailableError.reason: InvalidArgumentError,
    **{
        cls.reason: cls
        for cls in (DataLossError, DiskFullError, InvalidArgumentError, PermissionDeniedError)
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What to start. `log` None lets it write to our stderr."""

    title: str
    argv: tuple[str, ...]
    log: Path | None


def dispatch_spec(
    *, bind: str, data_dir: Path, log: Path | None, log_level: str = "info"
) -> ChildSpec:
    """Describe dispatch with storage embedded in it."""
    return ChildSpec(
        title="dispatch",
        argv=_python(
            "distconv.dispatch.main",
            "--bind", bind,
            "--data-dir", str(data_dir),
            "--log-level", log_level,
        ),
        log=log,
    )  # fmt: skip


def engine_spec(
    number: int,
    *,
    dispatch: str,
    data_dir: Path,
    slots: int | None,
    log: Path | None,
    log_level: str = "info",
) -> ChildSpec:
    """Describe the engine `number` of this machine; each has a folder and identity of its own."""
    return ChildSpec(
        title=f"engine {number}",
        argv=_python(
            "distconv.engine.main",
            "--dispatch", dispatch,
            "--data-dir", str(data_dir / f"engine-{number}"),
            *(() if slots is None else ("--slots", str(slots))),
            "--log-level", log_level,
        ),
        log=log,
    )  # fmt: skip


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, "--exit-on-stdin-eof", *arguments)


class Child:
    """A child process under way.

    It runs in a session of its own, so that Ctrl-C reaches us alone and we can
    end everything in order. Its stdin is a pipe that we hold: should we be
    killed, it sees the end of it and goes too.
    """

    def __init__(self, spec: ChildSpec, process: asyncio.subprocess.Process) -> None:
        self.spec = spec
        self._process = process
        # Why it ended, in its own words; None while it runs, and when it said nothing.
        self.failure: DistconvError | None = None
        self._ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, spec: ChildSpec) -> "Child":
        """Start it."""
        log = (
            None
            if spec.log is None
            else os.open(spec.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        )
        try:
            process = await asyncio.create_subprocess_exec(
                *spec.argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        finally:
            if log is not None:
                os.close(log)
        return cls(spec, process)

    async def ready(self) -> dict[str, Any]:
        """Wait for its ready line and return it.

        Raises the error that it told of when it ends before that, UnavailableError
        when it told of none or takes too long.
        """
        try:
            return await asyncio.wait_for(asyncio.shield(self._ready), _READY_S)
        except TimeoutError:
            raise UnavailableError(
                f"{self.spec.title} did not get ready within {_READY_S:g} s{self.last_words()}"
            ) from None

    async def ended(self) -> int:
        """Wait for its end and return its exit code, negative for a signal."""
        await asyncio.shield(self._reading)
        return await self._process.wait()

    async def stop(self, grace_s: float) -> None:
        """Ask it to end, and make it after the grace."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self.ended(), grace_s)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self.ended()

    def last_words(self) -> str:
        """Return why it ended or the end of its log, to be put behind a sentence; else nothing."""
        if self.failure is not None:
            return f": {self.failure.message}"
        if self.spec.log is None:
            return ""
        with suppress(OSError):
            with self.spec.log.open("rb") as file:
                file.seek(max(0, self.spec.log.stat().st_size - _KEPT_LOG_BYTES))
                lines = file.read().decode(errors="replace").strip().splitlines()
            if lines:
                return f": {lines[-1][:500]}"
        return ""

    async def _read(self) -> None:
        """Drain its stdout to the end; the ready line is in it."""
        assert self._process.stdout is not None  # noqa: S101  # it was asked for
        while line := await self._process.stdout.readline():
            event = _event(line)
            if event.get("event") == "ready" and not self._ready.done():
                self._ready.set_result(event)
            elif event.get("event") == "failed":
                self.failure = _failure(event)
        code = await self._process.wait()
        if not self._ready.done():
            self._ready.set_exception(
                self.failure
                or UnavailableError(
                    f"{self.spec.title} ended with exit code {code} before it was ready"
                    f"{self.last_words()}"
                )
            )
            self._ready.exception()  # it is no fault when nobody asks


def _event(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _failure(event: dict[str, Any]) -> DistconvError:
    kind = _FAILURES.get(str(event.get("reason")), FailedPreconditionError)
    return kind(str(event.get("message")))
