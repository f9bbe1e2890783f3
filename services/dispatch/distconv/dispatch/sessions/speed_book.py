"""Know how fast the engines that are connected here are: benchmarks and history."""

from collections.abc import Sequence

import structlog

from distconv.core.profile import VideoCodec
from distconv.core.speeds import (
    Basis,
    EngineSpeeds,
    Sample,
    height_class,
    of_benchmark,
)
from distconv.core.work import PIXELS_PER_UNIT
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.lifecycle.observing import NO_CODEC
from distconv.dispatch.sessions.messages import BenchmarkReport
from distconv.dispatch.sessions.session import EngineSession
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import (
    BenchmarkRecord,
    SpeedRecord,
)

_log = structlog.get_logger()

# Of each engine so many of its latest benchmarks are read: every codec and height, twice over.
_BENCHMARKS_READ = 64
_CODECS = {codec.value: codec for codec in VideoCodec}


class SpeedBook:
    """Give sessions what is known of their engines' speed, and keep their benchmarks."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self._store = store
        self._changes = changes

    async def open(self, session: EngineSession) -> None:
        """Read what is known of an engine that connects."""
        engine_id, build_id = session.engine.id, session.capabilities.build_id
        speeds = await self._store.list_speeds(engine_id=engine_id)
        found = await self._store.list_benchmarks(engine_id, limit=_BENCHMARKS_READ)
        latest: dict[tuple[str, int], BenchmarkRecord] = {}
        for benchmark in found:
            if benchmark.build_id == build_id:
                latest.setdefault((benchmark.codec, benchmark.height), benchmark)
        session.measured = set(latest)
        _set(
            session,
            [
                *(_of_speed(speed) for speed in speeds if speed.build_id == build_id),
                *(_of_benchmark(b.codec, b.height, b.fps) for b in latest.values()),
            ],
        )

    def add(self, session: EngineSession, speed: SpeedRecord) -> None:
        """Take a speed that was observed anew."""
        if speed.build_id == session.capabilities.build_id:
            _set(session, [_of_speed(speed), *session.speeds.samples])

    async def keep(self, session: EngineSession, report: BenchmarkReport) -> None:
        """Keep what an engine measured of itself."""
        results = [r for r in report.results if r.fps > 0 and r.height > 0 and _codec(r.codec)]

        async def make(change: Change) -> None:
            for result in results:
                await change.tx.add_benchmark(
                    BenchmarkRecord(
                        tenant=session.engine.tenant,
                        engine_id=session.engine.id,
                        codec=result.codec,
                        height=result.height,
                        build_id=result.build_id,
                        fps=result.fps,
                        measure_time=result.measure_time or change.now,
                    )
                )

        await self._changes.make(make)
        build_id = session.capabilities.build_id
        current = [r for r in results if r.build_id == build_id]
        session.measured |= {(r.codec, r.height) for r in current}
        _set(
            session,
            [
                *(_of_benchmark(r.codec, r.height, r.fps) for r in current),
                *session.speeds.samples,
            ],
        )
        _log.info(
            "benchmarks_kept",
            engine=session.engine.id,
            build=build_id,
            results=[f"{r.codec} {r.height}: {r.fps:.1f} fps" for r in results],
        )


def _set(session: EngineSession, samples: Sequence[Sample | None]) -> None:
    """Give a session its samples, the first of a kind being the one that counts."""
    known: dict[tuple[VideoCodec | None, int, Basis], Sample] = {}
    for sample in samples:
        if sample is not None:
            known.setdefault((sample.codec, sample.height_class, sample.basis), sample)
    session.speeds = EngineSpeeds(
        tuple(known.values()),
        cpu_count=session.capabilities.cpu_count,
        slot_count=session.engine.slot_count,
    )


def _of_speed(speed: SpeedRecord) -> Sample | None:
    codec = _codec(speed.codec)
    if codec is None and speed.codec != NO_CODEC:
        return None  # a later version's
    return Sample(
        codec=codec,
        height_class=speed.height_class,
        units_per_s=speed.pixel_rate / PIXELS_PER_UNIT,
        basis=Basis.HISTORY,
    )


def _of_benchmark(name: str, height: int, fps: float) -> Sample | None:
    codec = _codec(name)
    if codec is None:
        return None
    return Sample(
        codec=codec,
        height_class=height_class(height),
        units_per_s=of_benchmark(codec, height, fps),
        basis=Basis.BENCHMARK,
    )


def _codec(name: str) -> VideoCodec | None:
    return _CODECS.get(name)
