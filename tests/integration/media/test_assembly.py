"""A finished file is put together from the stream that it was made of, byte for byte."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distconv.core.errors import DistconvError, UnsupportedSourceError
from distconv.media.assembly import Assembly, plan_assembly
from distconv.media.ports import BytesSource, FileSource

Render = Callable[..., Any]


class _CountingSource(BytesSource):
    """Count what is read."""

    read_bytes = 0

    async def read(self, offset: int, length: int) -> bytes:
        data = await super().read(offset, length)
        self.read_bytes += len(data)
        return data


def assembled(assembly: Assembly, stream: bytes, target: bytes) -> bytes:
    """Put a file together as a client does: what is missing is taken of the target itself."""
    made = bytearray(assembly.size_bytes)
    for start, end in assembly.missing():
        made[start:end] = target[start:end]
    for copy in assembly.copies:
        made[copy.target : copy.target + copy.length] = stream[copy.source :][: copy.length]
    return bytes(made)


@pytest.mark.parametrize(
    ("clip", "profile", "container"),
    [
        ("rich.mkv", "h264-480p", "mkv"),
        ("rich.mkv", "h264-480p", "mp4"),
        ("rich.mkv", "copy", "mkv"),
        ("index-last.mp4", "h264-480p", "mp4"),
        ("index-last.mp4", "copy", "mp4"),
        ("index-last.mp4", "audio-aac", "mp4"),
        ("index-last.mp4", "vp9", "webm"),
    ],
)
async def test_a_finished_file_is_in_its_stream_but_for_what_describes_it(
    clips: Path, render: Render, clip: str, profile: str, container: str
) -> None:
    made = await render(clips / clip, profile, container)
    stream, target = made.wire.read_bytes(), made.path.read_bytes()
    remote = _CountingSource(target)
    with FileSource(made.wire) as local:
        assembly = await plan_assembly(local, remote)
    assert assembled(assembly, stream, target) == target
    missing = sum(end - start for start, end in assembly.missing())
    assert missing < 0.2 * len(target) + 12_000
    assert remote.read_bytes <= missing + 100


@pytest.mark.parametrize("part", [0.4, 0.6, 0.8, 0.999])
@pytest.mark.parametrize("container", ["mkv", "mp4"])
async def test_what_is_there_of_a_stream_that_breaks_off_is_spared(
    clips: Path, render: Render, container: str, part: float
) -> None:
    made = await render(clips / "rich.mkv", "h264-480p", container)
    stream, target = made.wire.read_bytes(), made.path.read_bytes()
    had = stream[: int(part * len(stream))]
    assembly = await plan_assembly(BytesSource(had), BytesSource(target), is_whole=False)
    assert assembled(assembly, had, target) == target
    # Clusters and fragments of so small a clip are large parts of it.
    assert assembly.copied_bytes > (part - 0.3) * len(target)


@pytest.mark.parametrize("container", ["mkv", "mp4"])
async def test_half_of_a_real_stream_is_spared(
    render: Render, real_clip: Path, container: str
) -> None:
    made = await render(real_clip, "h264-480p", container)
    stream, target = made.wire.read_bytes(), made.path.read_bytes()
    had, remote = stream[: len(stream) // 2], _CountingSource(target)
    assembly = await plan_assembly(BytesSource(had), remote, is_whole=False)
    assert assembled(assembly, had, target) == target
    assert assembly.copied_bytes > 0.3 * len(target)
    assert assembly.scattered_bytes < 0.2 * len(target)
    assert remote.read_bytes < 0.1 * len(target)


async def test_files_of_other_streams_do_not_fit(clips: Path, render: Render) -> None:
    made = await render(clips / "index-last.mp4", "copy", "mp4")
    stream, target = made.wire.read_bytes(), made.path.read_bytes()
    for other in (b"", stream[: len(stream) // 2], target[:100], b"\0" * 5000):
        assembly = None
        try:
            assembly = await plan_assembly(BytesSource(other), BytesSource(target))
        except DistconvError:
            continue
        assert assembly.copied_bytes == 0 or assembled(assembly, other, target) != target
    with pytest.raises(UnsupportedSourceError):
        await plan_assembly(BytesSource(stream), BytesSource(b"x" * 1000))


async def test_real_clips(render: Render, real_clip: Path) -> None:
    for container in ("mp4", "mkv"):
        made = await render(real_clip, "h264-480p", container)
        stream, target = made.wire.read_bytes(), made.path.read_bytes()
        assembly = await plan_assembly(BytesSource(stream), BytesSource(target))
        assert assembled(assembly, stream, target) == target
        assert assembly.copied_bytes > 0.9 * len(target)
