"""How far an encode has come."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """How far a job has come.

    `fraction` is 0..1, None while the length is unknown; `fps` is frames per
    second of late; `speed` is media seconds per wall second; `eta` is the time
    left at that speed.
    """

    fraction: float | None = None
    frame_count: int = 0
    fps: float = 0.0
    speed: float = 0.0
    out_time: timedelta = timedelta(0)
    read_bytes: int = 0
    written_bytes: int = 0
    eta: timedelta | None = None
    update_time: datetime | None = None
