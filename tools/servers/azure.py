"""A private Azure Blob Storage: Azurite."""

import base64
import hmac
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from itertools import count
from pathlib import Path
from urllib.request import Request, urlopen

from servers.private import HOST, STOP_TIMEOUT_S, PrivateServer, folder_of_its_own, running
from servers.programs import MissingServerError, find_program

_ACCOUNT = "distconv"
_API_VERSION = "2021-08-06"


class AzureServer(PrivateServer):
    """Azurite: the real API of Azure Blob Storage over HTTP, everything in memory.

    It checks signatures, and keeps conditions and blocks as Azure does; its speed
    says nothing.
    """

    ready_mark = "successfully listens on"
    gives_up_root = False  # it may lie beside this Python, where others cannot read

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._program = _find_azurite()
        self._key = secrets.token_bytes(64)
        self._numbers = count(1)

    @property
    def url(self) -> str:
        """Return `http://127.0.0.1:PORT/ACCOUNT`."""
        return f"http://{self.address}/{_ACCOUNT}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that hold credentials."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(self._key).decode(),
        }

    def new_container(self) -> str:
        """Create an empty container and return its name."""
        name = f"media-{os.getpid()}-{next(self._numbers)}"
        request = Request(  # noqa: S310  # our own server
            f"{self.url}/{name}?restype=container", headers=self._signed(name), method="PUT"
        )
        with urlopen(request, timeout=STOP_TIMEOUT_S):  # noqa: S310
            return name

    def _signed(self, container: str) -> dict[str, str]:
        """Return the headers of a request for a container, by the scheme called Shared Key."""
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _API_VERSION}
        lines = [
            "PUT",
            *[""] * 11,  # Content-Encoding to Range, of which this request has none
            *(f"{name}:{value}" for name, value in sorted(headers.items())),
            f"/{_ACCOUNT}/{_ACCOUNT}/{container}",
            "restype:container",
        ]
        signature = hmac.digest(self._key, "\n".join(lines).encode(), "sha256")
        return headers | {
            "Authorization": f"SharedKey {_ACCOUNT}:{base64.b64encode(signature).decode()}"
        }

    def _environment(self) -> dict[str, str]:
        key = self.environment["AZURE_STORAGE_ACCOUNT_KEY"]
        return {"AZURITE_ACCOUNTS": f"{_ACCOUNT}:{key}"}

    def _argv(self) -> list[str]:
        return [
            str(self._program), "--blobHost", HOST, "--blobPort", str(self.port),
            "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck",
        ]  # fmt: skip


def _find_azurite() -> Path:
    beside = Path(sys.executable).with_name("azurite-blob")
    if beside.exists():
        return beside
    try:
        return find_program("azurite-blob", package="azurite")
    except MissingServerError as error:
        raise MissingServerError(
            "azurite-blob is neither beside this Python nor on PATH; install it with "
            f"'npm install --global --prefix {sys.prefix} azurite'"
        ) from error


@contextmanager
def azure_server() -> Iterator[AzureServer]:
    """Run an Azure Blob Storage while the block lasts."""
    with folder_of_its_own() as folder, running(AzureServer(folder)) as server:
        yield server
