import asyncio
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from distconv.engine.spool import OutputSpool
from distconv.media.ports import BytesSink


async def _passed(pieces: list[bytes], room: int, folder: Path) -> None:
    sink = BytesSink()
    begun = 0

    async def begin() -> None:
        nonlocal begun
        begun += 1

    spool = OutputSpool(sink, folder / "output", room_bytes=room, begin=begin)
    whole = b"".join(pieces)
    for piece in pieces:
        await spool.write(piece)
    path = await spool.file()
    if len(whole) <= room:
        assert path is not None
        assert path.read_bytes() == whole
        assert (begun, bytes(sink.data)) == (0, b"")
    else:
        assert path is None
        assert bytes(sink.data) == whole
    await spool.send()
    await spool.write(b"the end")
    assert bytes(sink.data) == whole + b"the end"
    assert spool.written_bytes == len(whole) + 7
    assert begun == 1
    assert not (folder / "output").exists()
    spool.close()


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=12), st.integers(0, 300))
def test_an_output_arrives_whole_whether_it_fits_or_not(pieces: list[bytes], room: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_passed(pieces, room, Path(folder)))
