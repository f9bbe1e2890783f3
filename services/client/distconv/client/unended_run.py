"""What a run has asked for so far, so that the same run again makes no job twice."""

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
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

    `key` says what it is for, `source` is the name of the object that it is made of,
    `asked_s` when that was, seconds since the epoch.
    """

    key: str
    request_id: str
    source: str
    asked_s: float


class UnendedRun:
    """The journal of one run, which is one file; a context manager.

    A run that ended before it was `done`, whatever ended it, leaves its journal, and
    the next that is about the same takes its entries over, for a day. Of one that is
    alive nothing is taken: it holds a lock.
    """

    def __init__(self, keys: Iterable[str], *, folder: Path | None = None) -> None:
        """`keys` are what the jobs of this run will be for; without any it remembers nothing."""
        self._keys = frozenset(keys)
        self._folder = folder or state_folder() / "runs"
        self._path = self._folder / secrets.token_hex(8)
        self._descriptor = -1
        self._asked: dict[str, AskedJob] = {}

    def __enter__(self) -> Self:
        if self._keys:
            # Without a place to remember in, one goes on all the same.
            with contextlib.suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                with self._alone():
                    self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor >= 0:
            if not self._asked:
                with contextlib.suppress(OSError), self._alone():
                    self._path.unlink(missing_ok=True)
            os.close(self._descriptor)  # last: it holds the lock
            self._descriptor = -1

    def asked(self, key: str) -> AskedJob | None:
        """Return what was asked for `key` by a run that did not end."""
        return self._asked.get(key)

    def ask(self, key: str, source: str) -> AskedJob:
        """Note that a job for `key` is about to be asked for, and return with which request."""
        asked = AskedJob(
            key=key, request_id=secrets.token_hex(16), source=source, asked_s=time.time()
        )
        self._asked[key] = asked
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):  # a full disk loses the memory, not the job
                os.write(self._descriptor, _lines([asked]))
        return asked

    def done(self) -> None:
        """Remember nothing: all that was asked for has been told."""
        self._asked.clear()

    def _alone(self) -> "_Locked":
        return _Locked(self._folder / ".lock")

    def _open(self) -> None:
        """Begin the journal with what dead runs asked for; only then take it out of theirs."""
        with ExitStack() as held:
            dead = [
                _Dead(path, entries)
                for path in self._folder.iterdir()
                if not path.name.startswith(".")
                and (entries := _entries_of_dead(path, held)) is not None
            ]
            for journal in dead:
                self._asked |= {e.key: e for e in journal.entries if e.key in self._keys}
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            os.write(self._descriptor, _lines(self._asked.values()))
            os.fsync(self._descriptor)
            for journal in dead:
                journal.keep([e for e in journal.entries if e.key not in self._keys])


@dataclass(frozen=True, slots=True)
class _Dead:
    """The journal of a run that is dead, and what of it is not too old."""

    path: Path
    entries: Sequence[AskedJob]

    def keep(self, entries: Sequence[AskedJob]) -> None:
        """Leave these entries alone."""
        with contextlib.suppress(OSError):
            if not entries:
                self.path.unlink()
            elif len(entries) < len(self.entries):
                fresh = self.path.with_name(f".{self.path.name}")
                fresh.write_bytes(_lines(entries))
                fresh.replace(self.path)


def _entries_of_dead(path: Path, held: ExitStack) -> Sequence[AskedJob] | None:
    """Return what the journal of a dead run says, the last of each key; None of one alive.

    It is held as long as `held` is.
    """
    try:
        file = held.enter_context(path.open("r", encoding="utf-8", errors="replace"))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = [entry for entry in map(_entry, file) if entry is not None]
    except OSError:  # it is locked, or no file
        return None
    oldest_s = time.time() - _KEPT_S
    return list({entry.key: entry for entry in found if entry.asked_s > oldest_s}.values())


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


def _lines(entries: Iterable[AskedJob]) -> bytes:
    return "".join(json.dumps(asdict(entry)) + "\n" for entry in entries).encode()


def _entry(line: str) -> AskedJob | None:
    """Return what a line says; None when it says nothing: whoever wrote it died in the middle."""
    try:
        found = AskedJob(**json.loads(line))
    except (ValueError, TypeError):
        return None
    texts = (found.key, found.request_id, found.source)
    if all(isinstance(text, str) for text in texts) and isinstance(found.asked_s, int | float):
        return found
    return None
