"""The child that parses media: `python -I -m distconv.media.probe.child`.

It imports PyAV, says READY, then does what it is asked, one request after
another. It runs in a sandbox and is given bytes, never names to open, but for
a finished file of ours and a source that was transferred as a file. A crash of
a demuxer ends this process alone.
"""

import json
import os
from collections.abc import Callable
from typing import Any

import av
import av.logging
from av.error import FFmpegError

from distconv.media.probe import wire
from distconv.media.probe.counting import count_packets
from distconv.media.probe.describing import describe
from distconv.media.probe.ranged import RangedReader

_STDIN, _STDOUT = 0, 1


def read_exactly(length: int) -> bytes:
    """Read `length` bytes of stdin without buffering; raise EOFError at its end."""
    parts = bytearray()
    while len(parts) < length:
        piece = os.read(_STDIN, length - len(parts))
        if not piece:
            raise EOFError
        parts += piece
    return bytes(parts)


def read_frame() -> tuple[int, bytes]:
    """Read one frame."""
    kind, length = wire.HEADER.unpack(read_exactly(wire.HEADER.size))
    return kind, read_exactly(length)


def write_frame(kind: int, payload: bytes) -> None:
    """Write one frame."""
    view = memoryview(wire.frame(kind, payload))
    while view:
        view = view[os.write(_STDOUT, view) :]


def _ask(offset: int, length: int) -> bytes:
    write_frame(wire.READ, wire.RANGE.pack(offset, length))
    kind, data = read_frame()
    if kind != wire.DATA:
        raise OSError("the parent gave no data")
    return data


def _options(request: dict[str, Any], protocol: str) -> dict[str, str]:
    return {"format_whitelist": ",".join(request["formats"]), "protocol_whitelist": protocol}


def probe(request: dict[str, Any]) -> dict[str, Any]:
    """Describe a source that the parent serves in ranges."""
    reader = RangedReader(_ask, request["size_bytes"])
    # No protocol has this name: nothing but the reader can be opened.
    with av.open(reader, "r", options=_options(request, "none")) as container:
        return describe(container)


def census_stream(request: dict[str, Any]) -> dict[str, Any]:
    """Count what comes over stdin, as ffmpeg would read it from a pipe."""
    try:
        with av.open(
            f"pipe:{_STDIN}", "r", format=request["format"], options=_options(request, "pipe")
        ) as container:
            counted = count_packets(container)
    finally:
        while os.read(_STDIN, 1 << 20):  # a demuxer may stop before the end; the parent must not
            pass
    return counted


def census_file(request: dict[str, Any]) -> dict[str, Any]:
    """Count what a file holds: a finished one, or a source on an engine's own disk."""
    with av.open(
        str(request["path"]),
        "r",
        format=request["format"],
        options=_options(request, "file"),
    ) as container:
        return count_packets(container)


_HANDLERS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    wire.PROBE: probe,
    wire.CENSUS_STREAM: census_stream,
    wire.CENSUS_FILE: census_file,
}


def _message(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error))[:500]


def serve_one() -> bool:
    """Answer one request; return False when there is none any more."""
    try:
        kind, payload = read_frame()
    except EOFError:
        return False
    try:
        answer = _HANDLERS[kind](json.loads(payload))
    except (FFmpegError, OSError, ValueError, EOFError) as error:
        failure = {"kind": type(error).__name__, "message": _message(error)}
        write_frame(wire.FAILURE, json.dumps(failure).encode())
        return kind != wire.CENSUS_STREAM
    write_frame(wire.RESULT, json.dumps(answer).encode())
    return kind != wire.CENSUS_STREAM


def main() -> None:
    """Serve requests until stdin ends."""
    av.logging.set_level(None)
    write_frame(wire.READY, b"")
    while serve_one():
        pass


if __name__ == "__main__":
    main()
    os._exit(0)  # skip the interpreter's tear-down: it costs 20 ms and nothing is open
