"""The certificates of TLS: read and checked at the start, where a wrong one can still be named."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from distconv.core.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """What a server shows: its certificate with those that signed it, and its key, as PEM."""

    cert: bytes
    key: bytes

    @classmethod
    def load(cls, cert: Path | None, key: Path | None) -> Self | None:
        """Read both files; None when neither is named, which is to serve in the clear.

        Raises InvalidArgumentError when one lacks the other, cannot be read, is no PEM, or the
        key is not that of the certificate.
        """
        if cert is None and key is None:
            return None
        if cert is None or key is None:
            there, lacking = ("tls_key", "tls_cert") if cert is None else ("tls_cert", "tls_key")
            raise InvalidArgumentError(
                f"{there} is set and {lacking} is not; TLS needs both", field=lacking
            )
        content = cls(cert=_read(cert, "tls_cert"), key=_read(key, "tls_key"))
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                cert, key, password=_no_password
            )
        except (ssl.SSLError, ValueError) as error:
            raise InvalidArgumentError(
                f"the certificate {cert} and the key {key} cannot be used ({error}); give a "
                "certificate in PEM and its own key without a password",
                field="tls_cert",
            ) from error
        return content


def load_ca(path: Path | None) -> bytes | None:
    """Read the certificates, as PEM, that servers are to be signed by; None without a path.

    Raises InvalidArgumentError when the file cannot be read or holds none.
    """
    if path is None:
        return None
    content = _read(path, "tls_ca")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise InvalidArgumentError(
            f"{path} holds no certificate in PEM ({error}); give the one that signed the servers'",
            field="tls_ca",
        ) from error
    return content


def _read(path: Path, field: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidArgumentError(
            f"cannot read {path}: {error.strerror}; correct {field}", field=field
        ) from error


def _no_password() -> str:
    raise ValueError("the key has a password")
