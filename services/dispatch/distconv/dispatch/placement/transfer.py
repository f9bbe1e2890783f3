"""How media reaches an engine: streamed through pipes, or as files. Pure.

Streaming wherever it can be, however slow the link: the encode overlaps its transfer
(docs/adr/0018-a-slow-link-is-no-reason-for-files.md).
"""

from dataclasses import dataclass

from distconv.core.transfer import TransferMode, scratch_needed
from distconv.dispatch.store.records import JobRecord
from distconv.dispatch.wording import size
from distconv.media.layout import PIPEABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFacts:
    """What the decision rests on.

    `container` is ffmpeg's name of the source's demuxer, `obstacle` what the probe
    found that keeps it from a pipe; `asked` is what the job asks for, None when
    nothing, and `default` what the server is set to; `needs_files` is true for a
    plugin that cannot read from a pipe; `scratch_free_bytes` is what of the engine's
    disk no attempt has.
    """

    container: str
    size_bytes: int
    obstacle: str = ""
    scratch_free_bytes: int = 0
    asked: TransferMode | None = None
    default: TransferMode = TransferMode.STREAMING
    needs_files: bool = False


def facts_of(job: JobRecord) -> TransferFacts | None:
    """Return what a job's media and wish say, whatever the engine; None before its probe."""
    media = job.source_media
    if media is None:
        return None
    return TransferFacts(
        container=media.container,
        size_bytes=job.source_size_bytes,
        obstacle=media.pipe_obstacle,
        asked=job.transfer_mode,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """The decision and its reason, for people; `required`: by file or not at all."""

    mode: TransferMode
    reason: str
    required: bool = False


def decide(facts: TransferFacts) -> Transfer:
    """Choose how the media of an attempt travels.

    Files when nothing else can work, or the job asks for them: then the engine has to
    have room. Files by default only where there is room; otherwise streaming.
    """
    takes = f"up to {size(scratch_needed(facts.size_bytes))} of the engine's scratch disk"
    if why := _obstacle(facts):
        if facts.asked is TransferMode.STREAMING:
            why = f"the job asks to be streamed, but {why}"
        return Transfer(mode=TransferMode.FILE, reason=f"{why}; it takes {takes}", required=True)
    if facts.asked is TransferMode.FILE:
        why = f"the job asks for it, which takes {takes}"
        return Transfer(mode=TransferMode.FILE, reason=why, required=True)
    if facts.asked is TransferMode.STREAMING:
        return Transfer(mode=TransferMode.STREAMING, reason="the job asks for it")
    if facts.default is TransferMode.FILE:
        return _by_default(facts, takes)
    why = f"nothing keeps '{facts.container}' from a pipe, and the encode overlaps its transfer"
    return Transfer(mode=TransferMode.STREAMING, reason=why)


def _by_default(facts: TransferFacts, takes: str) -> Transfer:
    """Go by file, as the server is set, where the engine has room for it."""
    why = f"the setting 'transfer' asks for files; it takes {takes}"
    if facts.scratch_free_bytes >= scratch_needed(facts.size_bytes):
        return Transfer(mode=TransferMode.FILE, reason=why)
    why += f", of which {size(facts.scratch_free_bytes)} are free"
    return Transfer(mode=TransferMode.STREAMING, reason=why)


def _obstacle(facts: TransferFacts) -> str:
    """Return what keeps a source from a pipe; empty: nothing."""
    if facts.obstacle:
        return facts.obstacle
    if facts.container != "mov" and facts.container not in PIPEABLE:  # MOV is laid out anew
        return f"'{facts.container}' cannot be streamed: its reader has to seek"
    return "the engine's tool reads files only" if facts.needs_files else ""
