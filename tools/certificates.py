"""A certificate that signs itself, for tests and benchmarks of TLS on this machine."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from servers import find_program


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Files, both PEM; `cert` is what clients trust, too."""

    cert: Path
    key: Path


def make_certificate(
    folder: Path, *, names: str = "DNS:localhost,IP:127.0.0.1", stem: str = "tls"
) -> Certificate:
    """Make one for the hosts `names`. Raises MissingServerError without openssl."""
    made = Certificate(cert=folder / f"{stem}.pem", key=folder / f"{stem}.key")
    subprocess.run(
        [str(find_program("openssl", package="openssl")), "req", "-x509", "-nodes"]
        + ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"]
        + ["-subj", "/CN=distconv test", "-addext", f"subjectAltName={names}"]
        + ["-keyout", str(made.key), "-out", str(made.cert)],
        check=True,
        capture_output=True,
    )
    return made
