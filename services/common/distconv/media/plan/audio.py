"""How to make the audio of a rendition."""

from distconv.core.errors import ImpossibleProfileError
from distconv.core.media import StreamInfo
from distconv.core.profile import AudioCodec, AudioSettings, Container
from distconv.core.report import Note, NoteSeverity
from distconv.media.plan.values import Choice, StreamMode, copied

ENCODERS = {AudioCodec.AAC: "aac", AudioCodec.OPUS: "libopus"}
_COPYABLE = {
    Container.MP4: frozenset(
        {"aac", "mp3", "mp2", "ac3", "eac3", "opus", "flac", "alac", "dts", "vorbis"}
    ),
    Container.WEBM: frozenset({"opus", "vorbis"}),
}
# The layout that each number of channels is brought to when the encoder does
# not take the source's own. Both encoders take all of these (tried); Opus no
# others: they are those of RFC 7845 §5.1.1.2.
_LAYOUTS = {
    1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1",
}  # fmt: skip
_AAC_LAYOUTS = frozenset(
    {"mono", "stereo", "2.1", "3.0", "4.0", "quad", "5.0", "5.1", "7.1", "7.1(wide)"}
)
_AAC_RATES = frozenset(
    {96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000}
)
_RATE = 48_000
_MONO_FACTOR = 1.5  # a lone channel has no other to share bits with


def choose_audio(
    stream: StreamInfo, settings: AudioSettings, container: Container, demuxer: str
) -> Choice:
    """Decide what becomes of one audio stream that `demuxer` gives."""
    if settings.codec is AudioCodec.COPY:
        return _copy(stream, container, demuxer)
    if not stream.channels:
        raise ImpossibleProfileError(
            f"stream {stream.index} ({stream.codec or 'unknown'}) has no channels: "
            "it cannot be decoded"
        )
    layout = _layout(stream, settings)
    channels = _channels(layout)
    rate = _sample_rate(stream, settings.codec)
    encoder = ENCODERS[settings.codec]
    factor = _MONO_FACTOR if channels == 1 else channels
    options = (
        ("c", encoder),
        ("b", str(round(settings.bit_rate_per_channel * factor))),
        *((("ar", str(rate)),) if rate != stream.sample_rate else ()),
        *(
            (("filter", f"aformat=channel_layouts={layout}"),)
            if layout != stream.channel_layout
            else ()
        ),
    )
    return Choice(
        source=stream,
        mode=StreamMode.ENCODE,
        codec=settings.codec.value,
        encoder=encoder,
        options=options,
        notes=tuple(_notes(stream, layout, channels, rate)),
    )


def is_adts(stream: StreamInfo, demuxer: str) -> bool:
    """Say whether a stream is AAC that describes itself in every packet, and nowhere else."""
    return stream.codec == "aac" and demuxer in ("mpegts", "mpeg", "aac")


def _copy(stream: StreamInfo, container: Container, demuxer: str) -> Choice:
    allowed = _COPYABLE.get(container)
    if allowed is not None and stream.codec not in allowed:
        raise ImpossibleProfileError(
            f"{container} cannot hold {stream.codec} audio (stream {stream.index}) as it is; "
            "ask for mkv, or for a profile that encodes"
        )
    if container is Container.MP4 and is_adts(stream, demuxer):
        return copied(stream, ("bsf", "aac_adtstoasc"))
    return copied(stream)


def _layout(stream: StreamInfo, settings: AudioSettings) -> str:
    channels = min(stream.channels, settings.max_channels or 8, 8)
    takes = _AAC_LAYOUTS if settings.codec is AudioCodec.AAC else frozenset(_LAYOUTS.values())
    if channels == stream.channels and stream.channel_layout in takes:
        return stream.channel_layout
    return _LAYOUTS[channels]


def _channels(layout: str) -> int:
    fixed = {name: count for count, name in _LAYOUTS.items()}
    return fixed.get(layout) or {"2.1": 3, "4.0": 4, "7.1(wide)": 8}[layout]


def _sample_rate(stream: StreamInfo, codec: AudioCodec) -> int:
    if codec is AudioCodec.AAC and stream.sample_rate in _AAC_RATES:
        return stream.sample_rate
    return _RATE


def _notes(stream: StreamInfo, layout: str, channels: int, rate: int) -> list[Note]:
    notes = []
    if channels < stream.channels:
        text = f"{stream.channels} channels mixed down to {layout}"
        notes.append(Note(severity=NoteSeverity.WARNING, stream_index=stream.index, message=text))
    elif layout != stream.channel_layout and not _is_nameless(stream):
        text = f"channel layout {stream.channel_layout or 'unknown'} mapped to {layout}"
        notes.append(Note(severity=NoteSeverity.INFO, stream_index=stream.index, message=text))
    if rate != stream.sample_rate:
        text = f"resampled from {stream.sample_rate} to {rate} Hz"
        notes.append(Note(severity=NoteSeverity.INFO, stream_index=stream.index, message=text))
    return notes


def _is_nameless(stream: StreamInfo) -> bool:
    """Tell whether the container gives a number of channels alone: naming them changes nothing."""
    return not stream.channel_layout or stream.channel_layout == f"{stream.channels} channels"
