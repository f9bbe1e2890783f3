"""Streams between engines and replicas: in order, each message once, until they break.

A break is what a real one is: some of what was under way still arrives, the rest
is lost, nobody knows which, and the two ends learn of it at different times.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Generic, TypeVar

from tests.simulation.virtual_loop import VirtualLoop

from distconv.core.errors import DistconvError
from distconv.dispatch.sessions.messages import FromEngine, ToEngine

_M = TypeVar("_M")

# What a message takes on a network of which nothing is wrong.
CALM_DELAY_S = 0.005


class Climate:
    """How the network behaves now: delays in seconds."""

    def __init__(self) -> None:
        self.delay_s = CALM_DELAY_S
        # Pairs (engine, replica) between which nothing passes.
        self.cut: set[tuple[str, str]] = set()


class Pipe(Generic[_M]):
    """One direction of a stream."""

    def __init__(self, loop: VirtualLoop, chance: Random, climate: Climate) -> None:
        self._loop = loop
        self._chance = chance
        self._climate = climate
        self._last_due = 0.0
        self._cut_at = float("inf")
        self.arrived: deque[_M] = deque()
        self.ended = False
        self.error: DistconvError | None = None
        self.news = asyncio.Event()
        self.on_news: Callable[[], None] = _nothing

    def send(self, message: _M) -> None:
        """Send a message; what is sent into a broken stream is lost without a word."""
        now = self._loop.time()
        if now >= self._cut_at:
            return
        due = max(self._last_due, now + self._chance.uniform(0.0, 2 * self._climate.delay_s))
        self._last_due = due
        self._loop.outside(due - now, self._arrive, message)

    def _arrive(self, message: _M) -> None:
        if not self.ended and self._loop.time() < self._cut_at:
            self.arrived.append(message)
            self._tell()

    def cut(self, *, after_s: float) -> None:
        """Let nothing arrive any more that would arrive later than in `after_s` seconds."""
        self._cut_at = min(self._cut_at, self._loop.time() + after_s)

    def end(self, *, after_s: float) -> None:
        """Let the receiver learn that nothing more comes, after all that is under way."""
        now = self._loop.time()
        self._loop.outside(max(after_s, self._last_due - now), self._end)

    def end_in(self, delay_s: float) -> None:
        """Let the receiver learn of the end at a time, whatever was under way."""
        self._loop.outside(delay_s, self._end)

    def _end(self) -> None:
        self.ended = True
        self._tell()

    def _tell(self) -> None:
        self.news.set()
        self.on_news()

    async def messages(self) -> AsyncIterator[_M]:
        """Yield messages until the end."""
        while True:
            while self.arrived:
                yield self.arrived.popleft()
            if self.ended:
                return
            self.news.clear()
            await self.news.wait()


def _nothing() -> None:
    """Do nothing."""


class Stream:
    """A session's stream between an engine and a replica."""

    def __init__(
        self,
        loop: VirtualLoop,
        chance: Random,
        climate: Climate,
        *,
        engine: str,
        replica: str,
    ) -> None:
        self._chance = chance
        self.ends = (engine, replica)
        self.up: Pipe[FromEngine] = Pipe(loop, chance, climate)
        self.down: Pipe[ToEngine] = Pipe(loop, chance, climate)
        self.broken = False
        self._loop = loop
        # Called when the replica learns that the engine is gone.
        self.on_lost: Callable[[], None] = _nothing

    def finish(self, error: DistconvError | None = None) -> None:
        """End the stream from the replica's side, in order."""
        self.broken = True
        self.down.error = error
        self.down.end(after_s=0.0)
        self.up.cut(after_s=0.0)

    def break_off(self, *, engine_learns_s: float, replica_learns_s: float) -> None:
        """Break the stream: some of what is under way arrives late, the rest never."""
        if self.broken:
            return
        self.broken = True
        late = self._chance.choice((0.0, 0.0, 0.5, 5.0))
        self.up.cut(after_s=min(late, replica_learns_s))
        self.down.cut(after_s=min(late, engine_learns_s))
        self.down.end_in(engine_learns_s)
        self.up.end_in(replica_learns_s)
        self._loop.outside(replica_learns_s, self._lost)

    def _lost(self) -> None:
        self.on_lost()
