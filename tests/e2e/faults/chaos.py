"""Kill the processes of a fleet at seeded random times, and bring back what a supervisor would."""

import asyncio
import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import psutil
from tests.e2e.faults.conftest import Daemon, DaemonEndedError, Fleet

from servers import PrivateServer

_T = TypeVar("_T")

# Every kind of process, the frequent ones twice.
VICTIMS = (
    "engine", "engine", "runner", "runner", "ffmpeg", "ffmpeg",
    "replica 0", "replica 1", "postgresql", "nats",
)  # fmt: skip
# How long after its death a supervisor starts a process again, seconds.
_AWAY_S = (0.2, 3.0)
# A process that lives for a fraction of a second is looked for so often, seconds.
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Kill:
    """A SIGKILL to come: when, of what, and when what is killed comes back."""

    at_s: float
    victim: str
    back_s: float
    choice: float


def plan_kills(seed: int, *, span_s: float) -> list[Kill]:
    """Return every kill of a run, spread over `span_s`; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    kills = [
        Kill(chance.uniform(0, span_s), victim, chance.uniform(*_AWAY_S), chance.random())
        for victim in VICTIMS
    ]
    return sorted(kills, key=lambda kill: kill.at_s)


class Chaos:
    """Carry a plan out, beside the work that it disturbs."""

    def __init__(self, fleet: Fleet, kills: Sequence[Kill]) -> None:
        self._fleet = fleet
        self._kills = kills
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._over = asyncio.Event()
        self.made: Counter[str] = Counter()
        self.missed: list[str] = []
        self.log: list[str] = []

    def end(self) -> None:
        """Make no more kills: the work that they are to disturb is done.

        Those that were still to come are `missed`, so that what was looked for and is
        not there any more is not looked for for ever.
        """
        self._over.set()

    async def run(self) -> None:
        """Make every kill, each at its time; return when everything is back."""
        begin = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for kill in self._kills:
                group.create_task(self._carry_out(kill, begin))

    async def _carry_out(self, kill: Kill, begin: float) -> None:
        loop = asyncio.get_running_loop()
        if await self._ends_within(begin + kill.at_s - loop.time()) or not await self._strike(kill):
            self.missed.append(kill.victim)
            return
        self.made[kill.victim] += 1
        self.log.append(f"{loop.time() - begin:5.1f} s {kill.victim}")

    async def _ends_within(self, span_s: float) -> bool:
        """Wait for so long; True at once when the work is done."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(span_s, 0.0)):
                await self._over.wait()
        return self._over.is_set()

    async def _strike(self, kill: Kill) -> bool:
        """Make a kill; False when the work was done before there was something to kill."""
        fleet = self._fleet
        if kill.victim == "runner":
            return await self._kill_child("distconv.engine.runner", kill)
        if kill.victim == "ffmpeg":
            return await self._kill_child("pipe:0", kill)
        if kill.victim == "engine":
            await self._kill_daemon(_one_of(fleet.engines, kill), kill)
        elif kill.victim.startswith("replica"):
            await self._kill_daemon(fleet.replicas[int(kill.victim[-1])], kill)
        else:
            server: PrivateServer = getattr(fleet, kill.victim)
            await self._kill_and_restart(server.kill, server.start, kill)
        return True

    async def _kill_daemon(self, daemon: Daemon, kill: Kill) -> None:
        # One at a time: what is to be killed must have come back from the kill before.
        async with self._locks[daemon.folder.name]:
            await self._kill_and_restart(daemon.kill, partial(_start_again, daemon), kill)

    async def _kill_and_restart(
        self, end: Callable[[], None], start: Callable[[], None], kill: Kill
    ) -> None:
        await asyncio.to_thread(end)
        await asyncio.sleep(kill.back_s)
        await asyncio.to_thread(start)

    async def _kill_child(self, word: str, kill: Kill) -> bool:
        while not await self._ends_within(_LOOK_S):
            engines = [e for e in self._fleet.engines if e.process is not None]
            found = [child for engine in engines for child in engine.children(word)]
            # Runners that wait for work are of no interest: one that has a child works.
            busy = [c for c in found if word == "pipe:0" or _has_children(c)]
            if busy:
                with suppress(ProcessLookupError):
                    os.kill(_one_of(busy, kill).pid, signal.SIGKILL)
                    return True
        return False


def _has_children(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.children())
    return False


def _one_of(many: Sequence[_T], kill: Kill) -> _T:
    return many[int(kill.choice * len(many))]


def _start_again(daemon: Daemon) -> None:
    """Start a daemon as systemd would: again when it ends for want of its database."""
    for _ in range(20):
        try:
            daemon.start()
        except DaemonEndedError:
            continue
        else:
            return
    raise AssertionError(f"{daemon.name} did not come back:\n{daemon.log_tail()}")
