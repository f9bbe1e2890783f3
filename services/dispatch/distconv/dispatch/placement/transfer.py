"""How media reaches an engine: streamed through pipes, or as files. Pure."""

from dataclasses import dataclass

from distconv.core.transfer import TransferMode, scratch_needed
from distconv.dispatch.wording import size
from distconv.media.layout import PIPEABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFacts:
    """What the decision rests on; rates are bytes of the source a second, None when unknown.

    `container` is ffmpeg's name of the source's demuxer, `obstacle` what the probe
    found that keeps it from a pipe; `asked` is what is asked for, None when nothing;
    `needs_files` is true for a plugin that cannot read from a pipe;
    `scratch_free_bytes` is what of the engine's disk no attempt has.
    """

    container: str
    size_bytes: int
    obstacle: str = ""
    scratch_free_bytes: int = 0
    link_rate: float | None = None
    encoder_rate: float | None = None
    asked: TransferMode | None = None
    needs_files: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """The decision and its reason, for people; `required`: no other mode would do."""

    mode: TransferMode
    reason: str
    required: bool = False


def decide(facts: TransferFacts) -> Transfer:
    """Choose how the media of an attempt travels.

    Files when nothing else can work; streaming when it is asked for, or the
    engine's disk has no room; files when they are asked for, or it is known that
    the encoder would wait for the link.
    """
    needed = scratch_needed(facts.size_bytes)
    why = facts.obstacle or _container_obstacle(facts.container)
    if not why and facts.needs_files:
        why = "the engine's tool reads files only"
    if why:
        reason = f"{why}; it takes up to {size(needed)} of scratch disk"
        return Transfer(mode=TransferMode.FILE, reason=reason, required=True)
    better = _best(facts)
    if facts.asked is not None:
        better = Transfer(mode=facts.asked, reason="it was asked for")
    if better.mode is TransferMode.FILE and facts.scratch_free_bytes < needed:
        why = (
            f"a transfer by file takes up to {size(needed)} of the engine's scratch disk, of which "
            f"{size(facts.scratch_free_bytes)} are free"
        )
        return Transfer(mode=TransferMode.STREAMING, reason=why)
    return better


def _best(facts: TransferFacts) -> Transfer:
    if facts.link_rate is None or facts.encoder_rate is None:
        why = "nothing says that the link is slower than the encoder"
        return Transfer(mode=TransferMode.STREAMING, reason=why)
    rates = f"({size(facts.link_rate)}/s and {size(facts.encoder_rate)}/s)"
    if facts.link_rate >= facts.encoder_rate:
        why = f"the link is faster than the encoder {rates}, which never waits"
        return Transfer(mode=TransferMode.STREAMING, reason=why)
    why = f"the link is slower than the encoder {rates}, which would wait"
    return Transfer(mode=TransferMode.FILE, reason=why)


def _container_obstacle(container: str) -> str:
    if container == "mov" or container in PIPEABLE:  # MP4 and MOV are laid out anew
        return ""
    return f"'{container}' cannot be streamed: its reader has to seek"
