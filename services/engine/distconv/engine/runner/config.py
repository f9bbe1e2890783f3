"""What a supervisor tells its runners once, before their attempt."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerConfig:
    """The settings that a runner needs, and the tool that the supervisor chose."""

    transcoder: str
    transcoder_state: dict[str, Any]
    log_level: str
    progress_interval_s: float
    media_patience_s: float
    upload_window_bytes: int
    read_ahead_bytes: int
    direct_reads: bool
    direct_read_bytes: int
    direct_writes: bool
    scratch_folder: str
    shared_folders: list[str]
    tls_ca: str | None = None  # PEM

    def to_bytes(self) -> bytes:
        """Write it for the pipe."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read it from the pipe."""
        return cls(**json.loads(data))
