"""Which tasks an engine can do: what it lacks of each requirement set, worked out once. Pure."""

from functools import lru_cache

from distconv.core.engine import EngineCapabilities
from distconv.core.profile import VideoCodec
from distconv.core.requirements import VIDEO_ENCODERS, Requirements

_CODECS = {f"encoder={encoder}": codec for codec, encoder in VIDEO_ENCODERS.items()}


class Matching:
    """What one engine lacks, by requirement set; made anew when its capabilities change."""

    def __init__(self, capabilities: EngineCapabilities, *, engine_id: str) -> None:
        self._capabilities = capabilities
        self._engine_id = engine_id
        self._missing: dict[str, tuple[str, ...]] = {}

    def missing(self, requirement: str) -> tuple[str, ...]:
        """Return what the engine lacks of a set, by the set's key; empty: it meets it."""
        found = self._missing.get(requirement)
        if found is None:
            found = Requirements.of_key(requirement).missing_from(
                self._capabilities, engine_id=self._engine_id
            )
            self._missing[requirement] = found
        return found


@lru_cache(maxsize=4096)
def scratch_of(requirement: str) -> int:
    """Return how much scratch disk a requirement set takes, bytes."""
    return Requirements.of_key(requirement).scratch_bytes


@lru_cache(maxsize=4096)
def codec_of(requirement: str) -> VideoCodec | None:
    """Return the video codec that a requirement set encodes to; None when it encodes none."""
    return next((_CODECS[part] for part in requirement.split() if part in _CODECS), None)
