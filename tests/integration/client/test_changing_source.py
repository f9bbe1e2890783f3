"""A source that is written to while it is sent: nothing of it is committed."""

from pathlib import Path

import pytest

from distconv.client import Client, Job, Transfer
from distconv.client.testing import FakeSystem
from distconv.core.errors import FailedPreconditionError


class Writer:
    """Takes the progress of an upload, and lets the file grow when half of it has gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = False

    def __call__(self, step: Transfer | Job) -> None:
        if self._written or not isinstance(step, Transfer) or not step.done_bytes:
            return
        self._written = True
        with self._path.open("ab") as file:
            file.write(b"more")


@pytest.fixture(autouse=True)
def own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember uploads in a folder of the test's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize("resume", [False, True])
async def test_an_upload_of_a_file_that_grows_is_given_up(
    fake: FakeSystem, client: Client, video: Path, *, resume: bool
) -> None:
    with pytest.raises(FailedPreconditionError, match="was written to while"):
        await client.upload(video, resume=resume, on_progress=Writer(video))
    (upload,) = fake.state.uploads.values()
    assert upload.aborted
    assert not fake.state.objects
    stored = await client.upload(video, resume=resume)
    assert fake.state.objects[stored.name] == video.read_bytes()


@pytest.mark.parametrize("overlap", [False, True])
async def test_a_transcode_of_a_file_that_grows_has_no_output(
    fake: FakeSystem, client: Client, video: Path, tmp_path: Path, *, overlap: bool
) -> None:
    out = tmp_path / "out.mp4"
    with pytest.raises(FailedPreconditionError, match="let whatever writes it end first"):
        await client.transcode(
            video, out, profile="copy", overlap=overlap, on_progress=Writer(video)
        )
    assert not out.exists()
