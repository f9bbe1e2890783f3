"""ffmpeg's `-progress` blocks as typed values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One report of ffmpeg's.

    `frame` counts video frames encoded; `out_time_s` is how far the output has
    got, None until something is written; `total_size_bytes` what was written.
    `speed` is media seconds per second; 0 while unknown.
    """

    frame: int = 0
    fps: float = 0.0
    speed: float = 0.0
    out_time_s: float | None = None
    total_size_bytes: int = 0
    ended: bool = False


class ProgressParser:
    """Cut the bytes of a `-progress` pipe into reports; unknown keys are skipped."""

    _MAX_BLOCK_BYTES = 64 * 1024  # a real block is under 500 bytes

    def __init__(self) -> None:
        self._rest = b""
        self._block: dict[str, str] = {}

    def feed(self, data: bytes) -> list[Progress]:
        """Take more bytes; return the reports that they complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-self._MAX_BLOCK_BYTES :]
        reports = []
        for line in lines:
            key, _, value = line.decode("ascii", "replace").partition("=")
            self._block[key.strip()] = value.strip()
            if key == "progress":
                reports.append(_report(self._block))
                self._block = {}
        return reports


def _report(block: Mapping[str, str]) -> Progress:
    # out_time_us, never out_time_ms: that one is microseconds too, by mistake.
    microseconds = _number(block.get("out_time_us", ""))
    return Progress(
        frame=int(_number(block.get("frame", "")) or 0),
        fps=_number(block.get("fps", "")) or 0.0,
        speed=_number(block.get("speed", "").rstrip("x")) or 0.0,
        out_time_s=None if microseconds is None else max(0.0, microseconds / 1e6),
        total_size_bytes=int(_number(block.get("total_size", "")) or 0),
        ended=block.get("progress") == "end",
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:  # "N/A"
        return None
    return value if math.isfinite(value) else None
