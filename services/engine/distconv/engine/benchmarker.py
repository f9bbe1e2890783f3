"""Measure how fast this engine encodes, while it has nothing better to do."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import DistconvError
from distconv.engine.supervisor import Supervisor
from distconv.engine.transcoder import Transcoder
from distconv.engine.work import Speed

_log = structlog.get_logger()

# What a request without heights asks for, pixels (BenchmarkRequest.heights).
DEFAULT_HEIGHTS = (480, 720, 1080, 2160)
# From the end of the last attempt: the next follows a probe at once, and must have the machine.
_IDLE_S = 2.0
# A single measurement gets no more than this, however few are asked for.
_LONGEST_S = 10.0


class Benchmarker:
    """Encode a generated clip per codec and height, one at a time, while no attempt runs.

    A measurement that an attempt interrupts is abandoned at once and made anew
    when the engine is idle again. `on_result` is called when there is
    something to take.
    """

    def __init__(
        self,
        transcoder: Transcoder,
        supervisor: Supervisor,
        *,
        clock: Clock,
        budget_s: float,
        on_result: Callable[[], None],
    ) -> None:
        """`budget_s` bounds the time of all measurements of a request; 0 measures nothing."""
        self._transcoder = transcoder
        self._supervisor = supervisor
        self._clock = clock
        self._budget_s = budget_s
        self._on_result = on_result
        self._wanted: deque[tuple[str, int]] = deque()
        self._asked = asyncio.Event()
        self._each_s = 0.0
        self._results: list[Speed] = []

    def request(self, codecs: Sequence[str], heights: Sequence[int]) -> None:
        """Measure these, in place of what is still to be measured; none: all there are.

        Codecs that this engine cannot encode are passed over.
        """
        able = self._transcoder.codecs
        wanted = [
            (codec, height)
            # Small pictures first: should work interrupt, something is known of every codec.
            for height in sorted(dict.fromkeys(heights or DEFAULT_HEIGHTS))
            for codec in dict.fromkeys(codecs or able)
            if codec in able and height > 0
        ]
        if not wanted or self._budget_s <= 0:
            return
        self._wanted = deque(wanted)
        self._each_s = min(_LONGEST_S, self._budget_s / len(wanted))
        self._asked.set()

    def take_results(self) -> list[Speed]:
        """Return what was found since the last call."""
        taken, self._results = self._results, []
        return taken

    async def run(self) -> None:
        """Measure what is asked for until cancelled."""
        while True:
            if not self._wanted:
                self._asked.clear()
                await self._asked.wait()
            await self._supervisor.wait_idle(_IDLE_S)
            if self._wanted:
                await self._measure_next()

    async def _measure_next(self) -> None:
        codec, height = wanted = self._wanted.popleft()
        queue = self._wanted
        measuring = asyncio.create_task(self._measure(codec, height))
        working = asyncio.create_task(self._supervisor.wait_busy())
        try:
            await asyncio.wait((measuring, working), return_when=asyncio.FIRST_COMPLETED)
        finally:
            measuring.cancel()
            working.cancel()
            await asyncio.wait((measuring, working))
        if measuring.cancelled() and queue is self._wanted:
            self._wanted.appendleft(wanted)
            _log.debug("benchmark_abandoned", codec=codec, height=height)

    async def _measure(self, codec: str, height: int) -> None:
        try:
            fps = await self._transcoder.benchmark(codec, height, budget_s=self._each_s)
        except DistconvError as error:
            _log.warning("benchmark_failed", codec=codec, height=height, why=error.message)
            return
        if fps <= 0:
            _log.info("benchmark_too_slow", codec=codec, height=height, budget_s=self._each_s)
            return
        _log.info("benchmark_measured", codec=codec, height=height, fps=round(fps, 1))
        self._results.append(
            Speed(
                codec=codec,
                height=height,
                fps=fps,
                build_id=self._transcoder.info.build_id,
                measure_time=self._clock.now(),
            )
        )
        self._on_result()
