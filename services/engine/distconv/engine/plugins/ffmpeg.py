"""Transcode with ffmpeg: the first transcoder."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Self

from distconv.engine.transcoder import ToolInfo
from distconv.media.ffmpeg import FfmpegBuild, locate_ffmpeg

_SETS = tuple(f.name for f in fields(FfmpegBuild) if f.type in ("frozenset[str]", frozenset[str]))


class FfmpegTranscoder:
    """A Transcoder that runs one build of ffmpeg."""

    def __init__(self, build: FfmpegBuild) -> None:
        self._build = build

    @classmethod
    async def detect(cls, configured: Path | None) -> Self:
        """Find ffmpeg: the configured one, else on PATH, else bundled."""
        return cls(await locate_ffmpeg(configured))

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Make the same again without running ffmpeg."""
        values: dict[str, Any] = {**state, "path": Path(state["path"])}
        values["release"] = tuple(state["release"])
        for name in _SETS:
            values[name] = frozenset(state[name])
        return cls(FfmpegBuild(**values))

    def state(self) -> Mapping[str, Any]:
        """Return the build as JSON can hold it."""
        values = asdict(self._build)
        values["path"] = str(self._build.path)
        for name in _SETS:
            values[name] = sorted(values[name])
        return values

    @property
    def info(self) -> ToolInfo:
        """Return what this build can do."""
        return ToolInfo(
            name="ffmpeg",
            version=self._build.version,
            build_id=self._build.build_id,
            encoders=self._build.encoders,
            decoders=self._build.decoders,
            muxers=self._build.muxers,
            demuxers=self._build.demuxers,
        )
