"""Turn an encoder's reports into a job's progress: rates of late, share done, time left."""

from collections import deque
from datetime import timedelta

from distconv.core.clock import Clock
from distconv.core.progress import JobProgress

# Long enough to be steady, short enough to follow a change of scene.
WINDOW_S = 5.0
# A day for a second of film is a standstill, and no time to promise.
_SLOWEST = 1 / 86_400


class ProgressMeter:
    """Measure over the last WINDOW_S seconds; `duration_s` None leaves share and ETA unknown."""

    def __init__(self, *, duration_s: float | None, clock: Clock) -> None:
        self._duration_s = duration_s
        self._clock = clock
        self._samples: deque[tuple[float, int, float]] = deque()

    def measure(
        self, *, frame_count: int, out_time_s: float, read_bytes: int, written_bytes: int
    ) -> JobProgress:
        """Take a report; return the progress that it makes."""
        now = self._clock.monotonic()
        self._samples.append((now, frame_count, out_time_s))
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()
        first_time, first_frames, first_out = self._samples[0]
        span = now - first_time
        fps = (frame_count - first_frames) / span if span > 0 else 0.0
        speed = (out_time_s - first_out) / span if span > 0 else 0.0
        return JobProgress(
            fraction=self._fraction(out_time_s),
            frame_count=frame_count,
            fps=max(fps, 0.0),
            speed=max(speed, 0.0),
            out_time=timedelta(seconds=max(out_time_s, 0.0)),
            read_bytes=read_bytes,
            written_bytes=written_bytes,
            eta=self._eta(out_time_s, speed),
            update_time=self._clock.now(),
        )

    def _fraction(self, out_time_s: float) -> float | None:
        if not self._duration_s:
            return None
        return min(max(out_time_s / self._duration_s, 0.0), 1.0)

    def _eta(self, out_time_s: float, speed: float) -> timedelta | None:
        if not self._duration_s or speed < _SLOWEST:
            return None
        return timedelta(seconds=max(self._duration_s - out_time_s, 0.0) / speed)
