"""Where the database is: a PostgreSQL URL, with its password from wherever it is kept."""

from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from distconv.core.errors import InvalidArgumentError

_SCHEMES = ("postgresql", "postgres")


def resolve(url: str, password_file: Path | None) -> str:
    """Return the URL as `postgresql://user:password@host:port/database`.

    A password in `password_file` takes the place of one in the URL; without
    either the driver looks at PGPASSWORD and ~/.pgpass. Raises
    InvalidArgumentError, which never repeats the URL: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _no_url(str(error)) from error
    if parts.scheme not in _SCHEMES:
        raise _no_url(f"its scheme is '{parts.scheme[:20]}'")
    if not parts.hostname or not parts.path.strip("/"):
        raise _no_url("it names no host or no database")
    userinfo = parts.netloc.rpartition("@")[0]
    if password_file is not None:
        user = userinfo.partition(":")[0]
        if not user:
            raise _no_url("it names no user for the password in database_password_file")
        userinfo = f"{user}:{quote(_read(password_file), safe='')}"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = f"{host}:{port}" if port else host
    netloc = f"{userinfo}@{place}" if userinfo else place
    return urlunsplit(("postgresql", netloc, parts.path, parts.query, ""))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(
            f"cannot read the password in {path}: {error}; check database_password_file",
            field="database_password_file",
        ) from error


def _no_url(why: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"database_url is no URL of a PostgreSQL database ({why}); "
        "write postgresql://user@host:5432/database, or nothing for SQLite in data_dir",
        field="database_url",
    )
