"""Make small MP4 files, box by box, for tests of layouts."""

import struct
import zlib
from dataclasses import dataclass, field


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, *parts: bytes) -> bytes:
    return box(kind, bytes(4), *parts)


@dataclass
class Track:
    """A track: its chunks' samples, each of 1 s on a clock of 1 kHz, and where the chunks lie."""

    chunks: list[list[bytes]]
    wide: bool = False
    offsets: list[int] = field(default_factory=list)

    def trak(self) -> bytes:
        sizes = [len(sample) for chunk in self.chunks for sample in chunk]
        runs = b"".join(
            struct.pack(">III", k + 1, len(chunk), 1) for k, chunk in enumerate(self.chunks)
        )
        code = "Q" if self.wide else "I"
        stbl = box(
            b"stbl",
            full(b"stts", struct.pack(">III", 1, len(sizes), 1000)),
            full(b"stsc", struct.pack(">I", len(self.chunks)), runs),
            full(b"stsz", struct.pack(f">II{len(sizes)}I", 0, len(sizes), *sizes)),
            full(
                b"co64" if self.wide else b"stco",
                struct.pack(f">I{len(self.chunks)}{code}", len(self.chunks), *self.offsets),
            ),
        )
        mdhd = full(b"mdhd", struct.pack(">IIII", 0, 0, 1000, 1000 * len(sizes)), bytes(4))
        return box(b"trak", box(b"mdia", mdhd, box(b"minf", stbl)))


def moov(tracks: list[Track]) -> bytes:
    return box(b"moov", full(b"mvhd", bytes(96)), *(t.trak() for t in tracks), box(b"udta"))


def movie(
    tracks: list[Track],
    order: list[list[tuple[int, int]]],
    *,
    index_at: int = -1,
    tail: bytes = b"",
) -> bytes:
    """Write a file: one `mdat` for each list of (track, chunk) in `order`.

    The index stands before the `mdat` of number `index_at`, or behind all.
    """
    head = box(b"ftyp", b"isom", bytes(4))
    for track in tracks:
        track.offsets = [0] * len(track.chunks)
    index_bytes = len(moov(tracks))
    place = len(order) if index_at < 0 else index_at
    at, media = len(head), []
    for number, mdat in enumerate(order):
        if number == place:
            at += index_bytes
        at += 8
        payload = b""
        for owner, chunk in mdat:
            tracks[owner].offsets[chunk] = at + len(payload)
            payload += b"".join(tracks[owner].chunks[chunk])
        at += len(payload)
        media.append(box(b"mdat", payload))
    media.insert(place, moov(tracks))
    return b"".join([head, *media, tail])


def with_compressed_index(data: bytes) -> bytes:
    """Return a whole MP4 or MOV whose index lies last with that compressed, as QuickTime did."""
    at = data.rindex(b"moov") - 4
    index = data[at:]
    assert len(index) == int.from_bytes(index[:4], "big")
    packed = struct.pack(">I", len(index)) + zlib.compress(index)
    cmov = box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", packed))
    return data[:at] + box(b"moov", cmov)
