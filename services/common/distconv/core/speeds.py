"""How fast engines work, from benchmarks and from what they have done. Pure.

Speeds are units a second (`distconv.core.work`) of one attempt, which makes
presets and frame sizes comparable. They are kept per engine, codec and class of
height, for one build of its tool: another build starts anew.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache

from distconv.core.profile import VideoCodec
from distconv.core.work import PIXELS_PER_UNIT, UNITS_PER_CORE_S, codec_factor

# Classes are named by the height they are best for; a picture belongs to the nearest by ratio.
HEIGHT_CLASSES = (480, 720, 1080, 2160)
# The newest attempt's share in the average: the last five make two thirds of it.
_EMA_SHARE = 0.2
# An attempt shorter than this says more of start-up than of speed.
MIN_SAMPLE = timedelta(seconds=1)
_BENCHMARK_ASPECT = 16 / 9
_UNKNOWN_CORES = 4


class Basis(StrEnum):
    """What an estimate rests on; the value is words for people."""

    HISTORY = "its own history"
    BENCHMARK = "its benchmark"
    CARRIED = "what it did with other codecs or sizes"
    ASSUMED = "its processors alone"

    @property
    def is_measured(self) -> bool:
        """Tell whether the engine itself was ever measured."""
        return self is not Basis.ASSUMED


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A speed that was measured; `units_per_s` of one attempt; `codec` None: no video encoded."""

    codec: VideoCodec | None
    height_class: int
    units_per_s: float
    basis: Basis


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """A speed as far as it is known."""

    units_per_s: float
    basis: Basis

    def time_for(self, cost: float) -> timedelta:
        """Return how long work of `cost` units takes."""
        return timedelta(seconds=min(cost / max(self.units_per_s, 1e-6), 1e9))


@lru_cache(maxsize=4096)
def height_class(height: int) -> int:
    """Return the class of a picture `height` lines high: the nearest by ratio."""
    lines = max(height, 1)
    return min(HEIGHT_CLASSES, key=lambda known: max(known / lines, lines / known))


def smoothed(average: float, sample_count: int, sample: float) -> float:
    """Return the exponential moving average with one more sample; the first stands alone."""
    return sample if sample_count == 0 else average + _EMA_SHARE * (sample - average)


def observed(cost: float, elapsed: timedelta) -> float | None:
    """Return the speed that an attempt shows, units a second; None when it was too short."""
    if elapsed < MIN_SAMPLE or cost <= 0:
        return None
    return cost / elapsed.total_seconds()


def of_benchmark(codec: VideoCodec, height: int, fps: float) -> float:
    """Return units a second from a benchmark's frames a second, of a clip 16:9 wide."""
    pixels = height * height * _BENCHMARK_ASPECT
    return fps * pixels * max(codec_factor(codec), 0.01) / PIXELS_PER_UNIT


def estimate(
    samples: Iterable[Sample],
    *,
    codec: VideoCodec | None,
    height: int,
    cpu_count: int,
    slot_count: int,
) -> Speed:
    """Return how fast an engine does work of `codec` (None: none in particular) and `height`.

    History of this codec and class stands before a benchmark of it, that before
    other heights of the codec, those before other codecs; without any sample the
    processors are counted, shared among the slots.
    """
    wanted = height_class(height)
    best: tuple[tuple[bool, float, bool], Sample] | None = None
    for sample in samples:
        distance = max(wanted / sample.height_class, sample.height_class / wanted)
        order = (sample.codec is not codec, distance, sample.basis is not Basis.HISTORY)
        if best is None or order < best[0]:
            best = (order, sample)
    if best is None:
        cores = (cpu_count or _UNKNOWN_CORES) / max(slot_count, 1)
        return Speed(units_per_s=UNITS_PER_CORE_S * cores, basis=Basis.ASSUMED)
    (other_codec, distance, _), sample = best
    exact = not other_codec and distance == 1.0
    return Speed(units_per_s=sample.units_per_s, basis=sample.basis if exact else Basis.CARRIED)


class EngineSpeeds:
    """What is known of one engine's speed; each question is worked out once."""

    def __init__(
        self, samples: Sequence[Sample] = (), *, cpu_count: int = 0, slot_count: int = 1
    ) -> None:
        self.samples = tuple(samples)
        self._cpu_count = cpu_count
        self._slot_count = slot_count
        self._known: dict[tuple[VideoCodec | None, int], Speed] = {}

    def of(self, codec: VideoCodec | None, height: int) -> Speed:
        """Return how fast the engine does work of `codec` and `height`."""
        key = (codec, height_class(height))
        if (speed := self._known.get(key)) is None:
            speed = self._known[key] = estimate(
                self.samples,
                codec=codec,
                height=height,
                cpu_count=self._cpu_count,
                slot_count=self._slot_count,
            )
        return speed
