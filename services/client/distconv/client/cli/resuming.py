"""Say that a transfer goes on where an earlier command broke off."""

from collections.abc import Callable
from pathlib import Path

from distconv.client.cli import text
from distconv.client.cli.running import telling_if_interrupted
from distconv.client.cli.views import View
from distconv.client.client import Client
from distconv.client.stored import StoredObject, Transfer


def resumable_steps(view: View, what: str) -> Callable[[Transfer], None]:
    """Return what takes the steps of one transfer and shows them.

    When the first says that some is there already, it is noted of `what`, as
    "the download to 'a.mp4'".
    """
    has_begun = False

    def step(transfer: Transfer) -> None:
        nonlocal has_begun
        if not has_begun and transfer.done_bytes:
            view.note(f"{what} goes on where it broke off: {_done(transfer)}")
        has_begun = True
        view.step(transfer)

    return step


async def fetch(
    client: Client, view: View, name: str, path: Path, *, overwrite: bool
) -> StoredObject:
    """Fetch the object `name` into `path`, or the rest of it after an earlier command.

    Raises what `Client.download` does.
    """
    with telling_if_interrupted("the same command goes on with the download", view.note):
        return await client.download(
            name,
            path,
            overwrite=overwrite,
            resume=True,
            on_progress=resumable_steps(view, f"the download to '{path}'"),
        )


def _done(transfer: Transfer) -> str:
    done = text.size(transfer.done_bytes)
    if transfer.total_bytes is None:
        return f"{done} are there"
    return f"{done} of {text.size(transfer.total_bytes)} are there"
