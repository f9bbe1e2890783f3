"""What is to be done with a streamed file at rest, and how it travels: at the stream's own end.

A pipe cannot carry all that a container can hold: cover pictures in MP4 and
Matroska, the titles of MP4 tracks. The engine therefore ends the stream with a
box (MP4) or a Void element (Matroska) that every reader skips and that names
and holds what is missing; whoever finishes the file reads it from its end.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from distconv.core.errors import DataLossError
from distconv.core.media import Chapter, StreamKind
from distconv.core.profile import Container

_T = TypeVar("_T")
# A random (version 4) UUID, made for this; it ends the file as well as naming the box.
_MARK = bytes.fromhex("3c1d7a5e9b0f4e62a8d4f27c11c9e0b7")
_FOOTER_BYTES = 4 + len(_MARK)
MAX_TRAILER_BYTES = 64 << 20
# The clock of an MP4's movie header, in Hz. ffmpeg's own choice, the least
# common multiple of all tracks' clocks, is so fine that the length of a
# chapter overflows after five minutes; a rounded 1/90000 s is half a sample.
MOVIE_CLOCK = ("-movie_timescale", "90000")
_IMAGE_TYPES = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishStream:
    """What a stream is to say of itself in the finished file."""

    kind: StreamKind
    language: str = ""
    title: str = ""
    dispositions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A cover picture, as it is in the source; `codec` is mjpeg or png."""

    codec: str
    data: bytes

    @property
    def file_name(self) -> str:
        """Return the name that Matroska's players look for."""
        return _IMAGE_TYPES[self.codec][0]

    @property
    def mime_type(self) -> str:
        """Return its MIME type."""
        return _IMAGE_TYPES[self.codec][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishSpec:
    """How to finish a streamed file; `streams` are those that it has, in order.

    `wire_format` is the muxer that wrote it, where that is not the container's own.
    """

    container: Container
    streams: tuple[FinishStream, ...]
    wire_format: str = ""
    chapters: tuple[Chapter, ...] = ()
    pictures: tuple[Picture, ...] = ()

    def with_pictures(self, pictures: tuple[Picture, ...]) -> Self:
        """Return a copy with cover pictures."""
        return replace(self, pictures=pictures)

    def to_json(self) -> str:
        """Render it."""
        return json.dumps(
            {
                "container": self.container,
                "wire_format": self.wire_format,
                "streams": [
                    {
                        "kind": s.kind,
                        "language": s.language,
                        "title": s.title,
                        "dispositions": s.dispositions,
                    }
                    for s in self.streams
                ],
                "chapters": [[c.start_time_s, c.end_time_s, c.title] for c in self.chapters],
                "pictures": [
                    {"codec": p.codec, "data": base64.b64encode(p.data).decode()}
                    for p in self.pictures
                ],
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> "FinishSpec":
        """Read it; raise DataLossError when it makes no sense."""
        try:
            return _spec(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataLossError("the streamed file's description is damaged") from error


def _spec(raw: Mapping[str, Any]) -> FinishSpec:
    return FinishSpec(
        container=Container(raw["container"]),
        wire_format=_wire_format(raw["wire_format"]),
        streams=_each(raw["streams"], _finish_stream),
        chapters=_each(
            raw["chapters"],
            lambda c: Chapter(start_time_s=float(c[0]), end_time_s=float(c[1]), title=_line(c[2])),
        ),
        pictures=_each(raw["pictures"], _picture),
    )


def _finish_stream(raw: Mapping[str, Any]) -> FinishStream:
    return FinishStream(
        kind=StreamKind(raw["kind"]),
        language=_line(raw["language"]),
        title=_line(raw["title"]),
        dispositions=_each(raw["dispositions"], _word),
    )


def _picture(raw: Mapping[str, Any]) -> Picture:
    if raw["codec"] not in _IMAGE_TYPES:
        raise ValueError("a cover picture of an unknown kind")
    return Picture(codec=str(raw["codec"]), data=base64.b64decode(raw["data"], validate=True))


def _each(items: list[Any], make: Callable[[Any], _T]) -> tuple[_T, ...]:
    return tuple(make(item) for item in items)


def _wire_format(value: object) -> str:
    if value not in ("", "mp4", "matroska", "webm", "nut"):
        raise ValueError("an unknown muxer")
    return str(value)


def _line(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("not a text")
    return value


def _word(value: object) -> str:
    if not isinstance(value, str) or not value.replace("_", "").isalpha():
        raise ValueError("not a word")
    return value


def trailer(spec: FinishSpec) -> bytes:
    """Return the bytes that end a stream and describe it."""
    body = spec.to_json().encode()
    if spec.container is Container.MP4:
        size = 8 + len(_MARK) + len(body) + _FOOTER_BYTES
        head = size.to_bytes(4, "big") + b"uuid" + _MARK
    else:
        # a Void element with its size in eight bytes (RFC 8794 §4.4, §11.3.2)
        length = len(body) + _FOOTER_BYTES
        head = b"\xec\x01" + length.to_bytes(7, "big")
        size = len(head) + length
    return head + body + size.to_bytes(4, "big") + _MARK


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailer:
    """The description at a streamed file's end, and how many bytes of media stand before it."""

    spec: FinishSpec
    media_bytes: int


def read_trailer(path: Path) -> Trailer | None:
    """Read the description at the end of a streamed file; None when it has none.

    Blocks for a small read. Raises DataLossError when it is damaged.
    """
    with path.open("rb") as file:
        total = file.seek(0, 2)
        if total < _FOOTER_BYTES:
            return None
        file.seek(total - _FOOTER_BYTES)
        footer = file.read(_FOOTER_BYTES)
        if footer[4:] != _MARK:
            return None
        size = int.from_bytes(footer[:4], "big")
        if not _FOOTER_BYTES < size <= min(total, MAX_TRAILER_BYTES):
            raise DataLossError("the streamed file's description is damaged")
        file.seek(total - size)
        whole = file.read(size)
    head = 8 + len(_MARK) if whole[4:8] == b"uuid" else 9
    spec = FinishSpec.from_json(whole[head:-_FOOTER_BYTES])
    return Trailer(spec=spec, media_bytes=total - size)
