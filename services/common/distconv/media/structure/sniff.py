"""Say what kind of file some first bytes belong to, and refuse what is not a video file."""

from enum import StrEnum

from distconv.core.errors import UnsupportedSourceError
from distconv.media.structure.asf import HEADER

SNIFF_BYTES = 4096
_BOX_KINDS = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof")


class Structure(StrEnum):
    """The structures whose completeness can be told from their bytes."""

    MP4 = "mp4"
    MATROSKA = "matroska"
    RIFF = "riff"
    ASF = "asf"
    OTHER = "other"


# What a playlist or a script starts with, after white space and a byte-order
# mark. They name other files and addresses, and none of those is ever opened.
_REFERENCES = (
    (b"#extm3u", "an HLS playlist"),
    (b"#ext-x-", "an HLS playlist"),
    (b"ffconcat", "an ffconcat script"),
    (b"[playlist]", "a playlist"),
    (b"[reference]", "a playlist"),
    (b"<asx", "a playlist"),
    (b"<mpd", "a DASH manifest"),
    (b"<smoothstreamingmedia", "a Smooth Streaming manifest"),
    (b"<smil", "a SMIL playlist"),
    (b"v=0", "an SDP session description"),
)
_MARKUP = (
    (b"<mpd", "a DASH manifest"),
    (b"<smoothstreamingmedia", "a Smooth Streaming manifest"),
    (b"<imscc", "an IMF playlist"),
    (b"<compositionplaylist", "an IMF playlist"),
    (b"<playlist", "a playlist"),
    (b"<smil", "a SMIL playlist"),
    (b"<svg", "an SVG picture"),
    (b"<html", "a web page"),
    (b"<!doctype html", "a web page"),
)
# concat scripts need no signature line: a line `file '…'` is enough for ffmpeg
_CONCAT_WORDS = (b"file ", b"file\t", b"stream ", b"chapter ")


def sniff(head: bytes) -> Structure:
    """Return the structure that `head`, a file's first bytes, belongs to.

    Raises UnsupportedSourceError for playlists, manifests, scripts and text.
    """
    if head[4:8] in _BOX_KINDS:
        return Structure.MP4
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return Structure.MATROSKA
    if head.startswith((b"RIFF", b"RF64")):
        return Structure.RIFF
    if head.startswith(HEADER):
        return Structure.ASF
    refuse_text(head)
    return Structure.OTHER


def refuse_text(head: bytes) -> None:
    """Raise UnsupportedSourceError when the bytes are text of any kind."""
    text = _as_text(head)
    if text is None:
        return
    kind = next((what for mark, what in _REFERENCES if text.startswith(mark)), None)
    if kind is None and text.startswith(b"<"):
        kind = next((what for mark, what in _MARKUP if mark in text), "an XML document")
    if kind is None and text.startswith(_CONCAT_WORDS):
        kind = "an ffconcat script"
    if kind is None:
        raise UnsupportedSourceError("the file is text, not video or sound")
    raise UnsupportedSourceError(
        f"the file is {kind}, not video or sound; what it points at is never opened"
    )


def _as_text(head: bytes) -> bytes | None:
    """Return the bytes in lower case without leading white space if they are text, else None."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            head = head[: len(head) // 2 * 2].decode("utf-16", "ignore").encode()
        except UnicodeDecodeError:
            return None
    head = head.removeprefix(b"\xef\xbb\xbf")
    if any(c < 32 and c not in b"\t\n\r\f\x1b" for c in head) or 127 in head:
        return None
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # a character cut by the end of the window is none
            return None
    return head.lstrip().lower()
