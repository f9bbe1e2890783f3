"""Where the programs of servers lie, and as whom and how long they run."""

import os
import pwd
import shutil
from contextlib import suppress
from pathlib import Path

# Where Debian, Red Hat and Homebrew put servers that are not on PATH; the newest version first.
_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/opt/*/bin",
)


class MissingServerError(Exception):
    """A server's program is not on this machine; the message says what to install."""


def find_program(name: str, *, package: str) -> Path:
    """Return the path of a program; raises MissingServerError naming its Debian package."""
    if found := shutil.which(name):
        return Path(found)
    for pattern in _FOLDERS:
        folders = sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)
        for folder in folders:
            if os.access(folder / name, os.X_OK):
                return folder / name
    raise MissingServerError(
        f"{name} is not on PATH nor in the usual folders; "
        f"install it with 'apt-get install {package}'"
    )


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(
        int(part) for part in folder.parent.name.replace("-", ".").split(".") if part.isdigit()
    )


def _user() -> pwd.struct_passwd | None:
    """Return whom a server is to run as; None when we are not root. PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise MissingServerError("there is neither a user 'postgres' nor 'nobody' to run servers as")


def give_away(folder: Path) -> None:
    """Let a folder belong to whom servers run as."""
    if user := _user():
        os.chown(folder, user.pw_uid, user.pw_gid)


def parting(*, give_up_root: bool = True) -> list[str]:
    """Return what comes before a server's argv: die with us, and give up root."""
    setpriv = shutil.which("setpriv")
    user = _user() if give_up_root else None
    if setpriv is None:
        if user is not None:
            raise MissingServerError("setpriv is not on PATH: 'apt-get install util-linux'")
        return []  # not Linux: without the parent-death signal
    as_user = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"] if user else []
    return [setpriv, "--pdeathsig=KILL", *as_user, "--"]
