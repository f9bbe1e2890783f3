"""What a task needs of an engine, as a set with a name. Pure.

Few distinct sets exist however many tasks there are. A set's key spells it
out, so that a store can keep and compare keys and nothing else.
"""

from dataclasses import dataclass
from typing import Self

from distconv.core.engine import EngineCapabilities, TranscoderInfo
from distconv.core.profile import AudioCodec, Container, Profile, VideoCodec

# The encoders of §6 of the design: one per codec, named as ffmpeg names them.
VIDEO_ENCODERS = {
    VideoCodec.H264: "libx264",
    VideoCodec.HEVC: "libx265",
    VideoCodec.AV1: "libsvtav1",
    VideoCodec.VP9: "libvpx-vp9",
}
_AUDIO_ENCODERS = {AudioCodec.AAC: "aac", AudioCodec.OPUS: "libopus"}
_MUXERS = {Container.MP4: "mp4", Container.MKV: "matroska", Container.WEBM: "webm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """Encoders and muxers that one transcoder of an engine must have, and tags of the engine.

    Sorted. `engine` is the id of the one engine that may do it; empty: any.
    `scratch_bytes` is the scratch disk that the engine has to have in all.
    """

    encoders: tuple[str, ...] = ()
    muxers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    engine: str = ""
    scratch_bytes: int = 0

    @property
    def key(self) -> str:
        """Spell the set out: `encoder=aac encoder=libx264 muxer=mp4`."""
        return " ".join(
            [
                *(f"encoder={name}" for name in sorted(self.encoders)),
                *([f"engine={self.engine}"] if self.engine else []),
                *(f"muxer={name}" for name in sorted(self.muxers)),
                *([f"scratch={self.scratch_bytes}"] if self.scratch_bytes else []),
                *(f"tag={name}" for name in sorted(self.tags)),
            ]
        )

    @classmethod
    def of_key(cls, key: str) -> Self:
        """Read a key back."""
        pairs = [part.partition("=") for part in key.split()]
        return cls(
            encoders=tuple(value for kind, _, value in pairs if kind == "encoder"),
            muxers=tuple(value for kind, _, value in pairs if kind == "muxer"),
            tags=tuple(value for kind, _, value in pairs if kind == "tag"),
            engine=next((value for kind, _, value in pairs if kind == "engine"), ""),
            scratch_bytes=int(next((value for kind, _, value in pairs if kind == "scratch"), 0)),
        )

    @classmethod
    def of_profile(
        cls,
        profile: Profile,
        *,
        tags: tuple[str, ...] = (),
        engine: str = "",
        scratch_bytes: int = 0,
    ) -> Self:
        """Derive what encoding by `profile` needs, on engines with `tags` or on one alone."""
        encoders = []
        if profile.video is not None and profile.video.codec in VIDEO_ENCODERS:
            encoders.append(VIDEO_ENCODERS[profile.video.codec])
        if profile.audio is not None and profile.audio.codec in _AUDIO_ENCODERS:
            encoders.append(_AUDIO_ENCODERS[profile.audio.codec])
        return cls(
            encoders=tuple(sorted(encoders)),
            muxers=(_MUXERS[profile.container],),
            tags=tuple(sorted(tags)),
            engine=engine,
            scratch_bytes=scratch_bytes,
        )

    def missing_from(
        self, capabilities: EngineCapabilities, *, engine_id: str = ""
    ) -> tuple[str, ...]:
        """Return what the engine lacks, by its transcoder that lacks the least; empty: it fits.

        Another engine than the one that is wanted lacks its very name.
        """
        tools = [self._missing_tools(tool) for tool in capabilities.transcoders]
        if not tools and not (self.encoders or self.muxers):
            tools = [()]
        best = min(tools, key=len, default=(*self.encoders, *self.muxers))
        return (
            *best,
            *(f"tag {tag}" for tag in self.tags if tag not in capabilities.tags),
            *([f"the id {self.engine}"] if self.engine not in ("", engine_id) else []),
            *(
                [f"{_mib(self.scratch_bytes)} of scratch disk"]
                if self.scratch_bytes > capabilities.scratch_bytes
                else []
            ),
        )

    def _missing_tools(self, tool: TranscoderInfo) -> tuple[str, ...]:
        return (
            *(name for name in self.encoders if name not in tool.encoders),
            *(f"{name} muxer" for name in self.muxers if name not in tool.muxers),
        )


def _mib(size_bytes: int) -> str:
    return f"{-(-size_bytes // (1 << 20))} MiB"
