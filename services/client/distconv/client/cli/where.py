"""The server that a transcode goes to: one that runs, or an embedded one that ends with it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from distconv.client.cli.connecting import answers
from distconv.client.cli.ephemeral import ephemeral_data_dir
from distconv.client.cli.options import DEFAULT_SERVER, Common
from distconv.client.cli.system import System, SystemSpec
from distconv.client.local import check_room

T = TypeVar("T")
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server to work with; `system` is set when embedded, `ephemeral` when it ends with us.

    `known_as` is what unfinished work there is remembered by; empty: its address.
    """

    address: str
    known_as: str = ""
    system: System | None = None
    ephemeral: bool = False

    async def guarded(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work`, and stop it with the reason when the embedded system fails meanwhile."""
        if self.system is None:
            return await work
        task = asyncio.ensure_future(work)
        failing = asyncio.ensure_future(self.system.failed())
        try:
            await asyncio.wait({task, failing}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise failing.result()
        finally:
            failing.cancel()
            task.cancel()
            await asyncio.gather(task, failing, return_exceptions=True)


@asynccontextmanager
async def place(
    common: Common, *, embedded: bool, data_dir: Path | None, room_bytes: int, note: Note
) -> AsyncIterator[Place]:
    """Find or start the server: what was asked for, else one that listens here, else embedded.

    An embedded one without `data_dir` needs `room_bytes` on the temporary disk.
    """
    if common.server and (embedded or data_dir is not None):
        raise click.UsageError("--server cannot go with --embedded or --data-dir")
    wants_embedded = embedded or data_dir is not None
    if not wants_embedded and common.named_server is not None:
        yield Place(address=common.named_server)
        return
    if not wants_embedded and await answers(DEFAULT_SERVER):
        yield Place(address=DEFAULT_SERVER)
        return
    if not wants_embedded:
        note(f"no server listens on {DEFAULT_SERVER}; starting one for as long as this takes")
    with ExitStack() as stack:
        folder = data_dir
        if folder is None:
            folder = stack.enter_context(ephemeral_data_dir())
            check_room(folder, room_bytes, what="the embedded server's copy of the video")
        spec = SystemSpec(data_dir=folder.absolute())
        async with System(spec, note=_only_trouble(note)) as system:
            yield Place(
                address=system.address,
                # It listens on another port each time.
                known_as=f"data folder {folder.resolve()}",
                system=system,
                ephemeral=data_dir is None,
            )


def _only_trouble(note: Note) -> Note:
    """Pass on what went wrong; that an engine is ready shows by itself."""
    return lambda message: note(message) if "unexpectedly" in message else None
