"""What a run has asked for so far, so that the same run again makes no job twice."""

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from distconv.client.remembered import state_folder

# A run that is taken up at all is taken up soon; whoever comes later means a new one.
_KEPT_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedJob:
    """A job that was asked for, and perhaps created: the same request makes no second one.

    `key` says what it is for, `source` is the name of the object that it is made of.
    """

    key: str
    request_id: str
    source: str


class UnendedRun:
    """The journal of one run, which is one file; a context manager.

    A run that ended before it was `done`, whatever ended it, leaves its journal, and
    the next that is about the same takes its entries over. Of one that is alive
    nothing is taken: it holds a lock.
    """

    def __init__(self, keys: Iterable[str], *, folder: Path | None = None) -> None:
        """`keys` are what the jobs of this run will be for."""
        self._keys = frozenset(keys)
        self._folder = folder or state_folder() / "runs"
        self._path = self._folder / secrets.token_hex(8)
        self._descriptor = -1
        self._asked: dict[str, AskedJob] = {}

    def __enter__(self) -> Self:
        # Without a place to remember in, one goes on all the same.
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with _Locked(self._folder / ".lock"):
                for path in self._folder.iterdir():
                    self._take_over(path)
                self._descriptor = os.open(self._path, flags, 0o600)
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
                self._write(self._asked.values())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor >= 0:
            if not self._asked:
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)  # last: it holds the lock
            self._descriptor = -1

    def asked(self, key: str) -> AskedJob | None:
        """Return what was asked for `key` by a run that did not end."""
        return self._asked.get(key)

    def ask(self, key: str, source: str) -> AskedJob:
        """Note that a job for `key` is about to be asked for, and return with which request."""
        asked = AskedJob(key=key, request_id=secrets.token_hex(16), source=source)
        self._asked[key] = asked
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):  # a full disk loses the memory, not the job
                self._write([asked])
        return asked

    def done(self) -> None:
        """Remember nothing: all that was asked for has been told."""
        self._asked.clear()

    def _write(self, entries: Iterable[AskedJob]) -> None:
        lines = "".join(json.dumps(asdict(entry)) + "\n" for entry in entries)
        os.write(self._descriptor, lines.encode())

    def _take_over(self, path: Path) -> None:
        """Take out of the journal of a run that is dead what this one is about."""
        if path.name.startswith("."):
            return
        with contextlib.suppress(BlockingIOError), path.open("r+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_mtime < time.time() - _KEPT_S:
                path.unlink()
                return
            entries = {entry.key: entry for entry in map(_entry, file) if entry is not None}
            ours = {key: entry for key, entry in entries.items() if key in self._keys}
            others = [entry for key, entry in entries.items() if key not in self._keys]
            self._asked |= ours
            if not others:
                path.unlink()
            elif ours:
                file.seek(0)
                file.truncate()
                file.writelines(json.dumps(asdict(entry)) + "\n" for entry in others)


class _Locked:
    """Hold the lock of a file, waiting for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __exit__(self, *error: object) -> None:
        os.close(self._descriptor)


def _entry(line: str) -> AskedJob | None:
    """Return what a line says; None when whoever wrote it died in the middle."""
    try:
        return AskedJob(**json.loads(line))
    except (ValueError, TypeError):
        return None
