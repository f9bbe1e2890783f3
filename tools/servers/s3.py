"""A private S3: moto's."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from urllib.request import Request, urlopen

from servers.private import HOST, STOP_TIMEOUT_S, PrivateServer, folder_of_its_own, running
from servers.programs import MissingServerError


class S3Server(PrivateServer):
    """moto's S3: the real API over HTTP, everything in memory, any credentials do.

    It lists, signs, and keeps conditions and multipart uploads as S3 does; it
    is a development server, so its speed says nothing.
    """

    ready_mark = "Running on"
    gives_up_root = False  # this Python may lie where others cannot read

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if find_spec("moto") is None or find_spec("flask") is None:
            raise MissingServerError(
                "moto is not installed: pip install 'moto[s3]' flask flask-cors"
            )
        self._numbers = count(1)

    @property
    def url(self) -> str:
        """Return `http://127.0.0.1:PORT`."""
        return f"http://{self.address}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that hold credentials."""
        return {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}

    def new_bucket(self) -> str:
        """Create an empty bucket and return its name."""
        name = f"media-{os.getpid()}-{next(self._numbers)}"
        request = Request(f"{self.url}/{name}", method="PUT")  # noqa: S310  # our own server
        with urlopen(request, timeout=STOP_TIMEOUT_S):  # noqa: S310
            return name

    def _argv(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(self.port)]


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run an S3 while the block lasts."""
    with folder_of_its_own() as folder, running(S3Server(folder)) as server:
        yield server
