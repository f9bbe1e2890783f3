from pathlib import Path

import pytest
from tests.e2e.conftest import dcctl

from benchmarks.load.media_plane import media_plane
from benchmarks.servers import make_certificate


@pytest.mark.parametrize("secured", ["server", "client"])
def test_one_side_alone_speaks_tls(secured: str, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    shown = certificate if secured == "server" else None
    trusted = ("--tls-ca", certificate.cert) if secured == "client" else ()
    with media_plane(tmp_path, engine=False, tls=shown) as plane:
        done = dcctl("jobs", "list", "--server", plane.address, *trusted)
    assert done.returncode == 5
    [said] = done.stderr.splitlines()  # and none of gRPC's own lines
    assert said.startswith("error: ")
    assert "TLS" in said


def test_debug_shows_what_grpc_says(tmp_path: Path) -> None:
    trusted = make_certificate(tmp_path).cert
    with media_plane(tmp_path, engine=False) as plane:
        done = dcctl("jobs", "list", "--server", plane.address, "--tls-ca", trusted, "--debug")
    assert len(done.stderr.splitlines()) > 1
