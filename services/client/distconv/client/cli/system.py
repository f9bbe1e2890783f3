"""The embedded system: dispatch with storage, and engines, as children of one command."""

import asyncio
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from distconv.client.cli.children import Child, ChildSpec, dispatch_spec, engine_spec
from distconv.core.errors import (
    DistconvError,
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)

# Ctrl-C must end everything within 5 s, whatever hangs.
_ENGINE_GRACE_S = 3.0
_DISPATCH_GRACE_S = 1.5
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
# An engine that held out so long starts its pauses from the shortest again.
_STEADY_S = 60.0

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSpec:
    """What to run: where it listens, where it keeps its data, how many engines.

    `own_logs` writes the children's logs into the data folder rather than to stderr.
    """

    data_dir: Path
    bind: str = "127.0.0.1:0"
    engines: int = 1
    slots: int | None = None
    own_logs: bool = True
    log_level: str = "info"


class System:
    """The embedded system under way; leaving it ends every child in order."""

    def __init__(self, spec: SystemSpec, *, note: Note) -> None:
        self._spec = spec
        self._note = note
        self._lock = -1
        self._dispatch: Child | None = None
        self._engines: dict[int, Child] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = [asyncio.Event() for _ in range(spec.engines)]
        self.address = ""

    async def __aenter__(self) -> Self:
        """Start dispatch and wait until it listens; the engines come up meanwhile."""
        self._lock = _take(self._spec.data_dir)
        try:
            self._dispatch = await Child.start(self._dispatch_spec())
            self.address = str((await self._dispatch.ready())["address"])
        except BaseException:
            await self._end()
            raise
        self._tasks = [
            asyncio.create_task(self._keep_engine(n)) for n in range(1, self._spec.engines + 1)
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.shield(self._end())

    @property
    def is_starting(self) -> bool:
        """Tell whether no engine has been ready yet."""
        return bool(self._ready) and not any(event.is_set() for event in self._ready)

    async def engines_ready(self) -> None:
        """Wait until every engine has had its session, or was refused one for good."""
        for event in self._ready:
            await event.wait()

    async def failed(self) -> DistconvError:
        """Wait until the system cannot go on, and return why."""
        assert self._dispatch is not None  # noqa: S101  # entered
        ended = asyncio.create_task(self._dispatch.ended())
        waiting: set[asyncio.Task[Any]] = {ended, *self._tasks}
        try:
            while not ended.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done - {ended}:
                    if isinstance(error := task.exception(), DistconvError):
                        return error
                    task.result()
        finally:
            ended.cancel()
        return UnavailableError(
            f"dispatch ended unexpectedly with exit code {ended.result()}"
            f"{self._dispatch.last_words()}"
        )

    async def _keep_engine(self, number: int) -> None:
        """Keep the engine running until it is refused for good.

        One that never got ready is not worth another try.
        """
        pause_s = _FIRST_PAUSE_S
        clock = asyncio.get_running_loop().time
        while True:
            child = await Child.start(self._engine_spec(number))
            self._engines[number] = child
            started = clock()
            try:
                event = await child.ready()
            except DistconvError:
                refused = isinstance(child.failure, PermissionDeniedError)
                if not refused and not self._ready[number - 1].is_set():
                    raise
            else:
                self._ready[number - 1].set()
                self._note(f"engine {number} is ready: {event.get('engine', '')}")
            code = await child.ended()
            if isinstance(child.failure, PermissionDeniedError):
                self._give_up(number, child.failure)
                return
            if clock() - started > _STEADY_S:
                pause_s = _FIRST_PAUSE_S
            self._note(
                f"engine {number} ended unexpectedly with exit code {code}{child.last_words()}; "
                f"starting it again in {pause_s:g} s"
            )
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _give_up(self, number: int, why: DistconvError) -> None:
        """Say that an engine is not started again, and how to get one in its place."""
        identity = self._spec.data_dir / f"engine-{number}" / "engine-id"
        self._note(
            f"engine {number} is not started again, all else goes on; dispatch refused it: "
            f"{why.message} ({identity}), and start dcctl up again"
        )
        self._ready[number - 1].set()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(child.stop(_ENGINE_GRACE_S) for child in self._engines.values()))
        if self._dispatch is not None:
            await self._dispatch.stop(_DISPATCH_GRACE_S)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _dispatch_spec(self) -> ChildSpec:
        spec = self._spec
        return dispatch_spec(
            bind=spec.bind, data_dir=spec.data_dir, log=self._log("dispatch"),
            log_level=spec.log_level,
        )  # fmt: skip

    def _engine_spec(self, number: int) -> ChildSpec:
        spec = self._spec
        return engine_spec(
            number, dispatch=self.address, data_dir=spec.data_dir, slots=spec.slots,
            log=self._log(f"engine-{number}"), log_level=spec.log_level,
        )  # fmt: skip

    def _log(self, name: str) -> Path | None:
        return self._spec.data_dir / "logs" / f"{name}.log" if self._spec.own_logs else None


def _take(data_dir: Path) -> int:
    """Make the data folder and lock it; return the lock's descriptor.

    Raises InvalidArgumentError when another system runs in it.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        (data_dir / "logs").mkdir(exist_ok=True, mode=0o700)
        descriptor = os.open(data_dir / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InvalidArgumentError(
            f"cannot use the data folder '{data_dir}': {error.strerror}", field="data_dir"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise InvalidArgumentError(
            f"another dcctl runs in the data folder '{data_dir}'; use that one, end it, or pass "
            "another --data-dir",
            field="data_dir",
        ) from None
    return descriptor
