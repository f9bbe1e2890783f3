"""Count every packet of a container (in the child).

The loop body runs once for each packet: it is kept to plain integers, about a
microsecond beside what demuxing itself costs.
"""

import base64
from typing import Any

from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition

from distconv.media.probe.naming import codec_name, kind_name

# Broadcast streams mark a packet at every lost bit of the air: that is no truncation.
_LOSSY = frozenset({"mpegts", "mpeg", "ogg"})
_MAX_PICTURE_BYTES = 8 << 20


class _Pictures:
    """Keep the cover pictures, which come as the first packet of their streams."""

    def __init__(self, container: InputContainer) -> None:
        self.found: list[dict[str, Any]] = []
        self._left = _MAX_PICTURE_BYTES
        self.wanted = {
            s.index: codec_name(s)
            for s in container.streams
            if Disposition.attached_pic in s.disposition
        }

    def take(self, packet: Any) -> None:
        """Keep a picture while all together stay within bounds."""
        codec = self.wanted.pop(packet.stream_index)
        if packet.size <= self._left:
            self._left -= packet.size
            data = base64.b64encode(bytes(packet)).decode()
            self.found.append({"index": packet.stream_index, "codec": codec, "data": data})


class _Count:
    __slots__ = ("corrupt", "end", "first", "hidden", "packet_bytes", "packets")

    def __init__(self) -> None:
        self.packets = 0
        self.packet_bytes = 0
        self.corrupt = 0
        self.hidden = 0
        self.first: int | None = None
        self.end: int | None = None

    def add(self, size: int, time: int | None, duration: int) -> None:
        self.packets += 1
        self.packet_bytes += size
        if time is None:
            return
        if self.first is None or time < self.first:
            self.first = time
        if self.end is None or time + duration > self.end:
            self.end = time + duration


def count_packets(container: InputContainer) -> dict[str, Any]:
    """Demux everything; return a MediaCensus as plain values (without `read_bytes`)."""
    counts: dict[int, _Count] = {s.index: _Count() for s in container.streams}
    pictures = _Pictures(container)
    problem = ""
    try:
        _count(container, counts, pictures)
    except FFmpegError as error:
        problem = f"demuxing broke off: {error.strerror}"
    corrupt = sum(c.corrupt for c in counts.values())
    name = container.format.name.split(",")[0]
    if not problem and corrupt and name not in _LOSSY:
        problem = f"{corrupt} packets are damaged or cut short"
    return {
        "container": name,
        "streams": [_stream(s, counts[s.index]) for s in container.streams if s.index in counts],
        "complete": not problem,
        "problem": problem,
        "pictures": pictures.found,
    }


def _count(container: InputContainer, counts: dict[int, _Count], pictures: "_Pictures") -> None:
    for packet in container.demux():
        size = packet.size
        if not size and packet.dts is None:
            continue  # the empty packet that PyAV sends to flush decoders
        count = counts.get(packet.stream_index)
        if count is None:  # a stream that appeared later
            count = counts[packet.stream_index] = _Count()
        if packet.stream_index in pictures.wanted:
            pictures.take(packet)
        if packet.is_discard:  # an edit list hides it: it is decoded and never shown
            count.hidden += 1
            count.add(size, None, 0)
            continue
        time = packet.pts
        count.add(size, packet.dts if time is None else time, packet.duration or 0)
        if packet.is_corrupt:
            count.corrupt += 1


def _stream(stream: Any, count: _Count) -> dict[str, Any]:
    base = stream.time_base
    return {
        "index": stream.index,
        "kind": kind_name(stream.type),
        "codec": codec_name(stream),
        "packet_count": count.packets,
        "packet_bytes": count.packet_bytes,
        "hidden_count": count.hidden,
        "first_time_s": None if count.first is None or not base else float(count.first * base),
        "end_time_s": None if count.end is None or not base else float(count.end * base),
    }
