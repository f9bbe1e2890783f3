import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from distconv.client.file_writer import FileWriter
from distconv.client.partial import PartialFile
from distconv.core.errors import DiskFullError
from distconv.rpc.pacing import MOST_BYTES, Pacer

_PART = b"a rendition" * 1000


class _HeldUp(PartialFile):
    """Writes nothing before it may."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, overwrite=False)
        self.may = asyncio.Event()
        self.appended: list[int] = []
        self.error: Exception | None = None

    async def append(self, parts: Sequence[bytes]) -> None:
        self.appended.append(len(parts))
        await self.may.wait()
        if self.error is not None:
            raise self.error
        await super().append(parts)


async def test_what_comes_while_one_is_written_goes_together(tmp_path: Path) -> None:
    seen: list[int] = []
    pacer = Pacer()
    allowed = pacer.grant().credit_bytes
    async with _HeldUp(tmp_path / "out") as target:
        writer = FileWriter(target, pacer, lambda: seen.append(target.written_bytes))
        await writer.put(_PART)
        await asyncio.sleep(0)
        await writer.put(_PART)
        await writer.put(_PART)
        assert pacer.in_flight_bytes == allowed  # nothing counts before it is written
        target.may.set()
        await writer.progressed()
        await writer.drained()
        assert target.appended == [1, 2]
        assert seen == [len(_PART), 3 * len(_PART)]
        assert pacer.in_flight_bytes == allowed - 3 * len(_PART)
        assert target.path.read_bytes() == 3 * _PART


async def test_from_a_storage_that_sends_on_no_more_is_taken_than_bounds_allow(
    tmp_path: Path,
) -> None:
    async with _HeldUp(tmp_path / "out") as target:
        writer = FileWriter(target, Pacer(), lambda: None)
        piece = bytes(MOST_BYTES // 2)
        for _ in range(2):
            await writer.put(piece)
            await asyncio.sleep(0)
        more = asyncio.create_task(writer.put(piece))
        await asyncio.sleep(0)
        assert not more.done()
        target.may.set()
        await more
        await writer.drained()
        assert target.written_bytes == 3 * len(piece)


async def test_a_disk_that_is_full_tells_all_who_wait(tmp_path: Path) -> None:
    async with _HeldUp(tmp_path / "out") as target:
        target.error = DiskFullError("the disk is full")
        writer = FileWriter(target, Pacer(), lambda: None)
        await writer.put(_PART)
        target.may.set()
        with pytest.raises(DiskFullError):
            await writer.progressed()
        with pytest.raises(DiskFullError):
            await writer.put(_PART)
        with pytest.raises(DiskFullError):
            await writer.drained()


async def test_the_end_wakes_who_waits_for_more(tmp_path: Path) -> None:
    async with _HeldUp(tmp_path / "out") as target:
        writer = FileWriter(target, Pacer(), lambda: None)
        waiting = asyncio.create_task(writer.progressed())
        writer.end()
        await waiting
        assert writer.ended
        await writer.drained()
