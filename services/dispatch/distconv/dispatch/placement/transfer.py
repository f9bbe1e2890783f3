"""How media reaches an engine: streamed through pipes, or as files. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from distconv.dispatch.wording import size
from distconv.media.layout import PIPEABLE


class TransferMode(StrEnum):
    """How media reaches the tool and leaves it."""

    STREAMING = "STREAMING"
    FILE = "FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFacts:
    """What the decision rests on; rates are bytes of the source a second, None when unknown.

    `container` is ffmpeg's name of the source's demuxer; `asked` is what the job
    asks for, None when nothing; `needs_files` is true for a plugin that cannot
    read from a pipe; `scratch_free_bytes` is 0 when unknown.
    """

    container: str
    size_bytes: int
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

    Files when nothing else can work; otherwise as asked; otherwise streaming
    unless it is known that the encoder would wait for the link and that the
    source fits the engine's disk.
    """
    if not can_be_streamed(facts.container):
        return Transfer(
            mode=TransferMode.FILE,
            reason=f"'{facts.container}' cannot be streamed, because its reader has to seek; it "
            f"needs {size(facts.size_bytes)} of scratch disk",
            required=True,
        )
    if facts.needs_files:
        return Transfer(
            mode=TransferMode.FILE, reason="the engine's tool reads files only", required=True
        )
    if facts.asked is not None:
        return Transfer(mode=facts.asked, reason="the job asks for it")
    return _best(facts)


def _best(facts: TransferFacts) -> Transfer:
    if facts.scratch_free_bytes and facts.size_bytes > facts.scratch_free_bytes:
        why = (
            f"the source has {size(facts.size_bytes)}, the engine's disk "
            f"{size(facts.scratch_free_bytes)} free"
        )
        return Transfer(mode=TransferMode.STREAMING, reason=why)
    if facts.link_rate is None or facts.encoder_rate is None:
        why = "nothing says that the link is slower than the encoder"
        return Transfer(mode=TransferMode.STREAMING, reason=why)
    rates = f"({size(facts.link_rate)}/s and {size(facts.encoder_rate)}/s)"
    if facts.link_rate >= facts.encoder_rate:
        why = f"the link is faster than the encoder {rates}, which never waits"
        return Transfer(mode=TransferMode.STREAMING, reason=why)
    why = f"the link is slower than the encoder {rates}, which would wait"
    return Transfer(mode=TransferMode.FILE, reason=why)


def can_be_streamed(container: str) -> bool:
    """Tell whether a container goes through a pipe; MP4 and MOV do, laid out anew."""
    return container == "mov" or container in PIPEABLE


def as_served(transfer: Transfer) -> Transfer:
    """Return what this version does of a decision: it streams whatever can be streamed."""
    if transfer.mode is TransferMode.STREAMING or transfer.required:
        return transfer
    return Transfer(
        mode=TransferMode.STREAMING,
        reason=f"a file transfer would be better ({transfer.reason}), but is not served yet",
    )
