"""The sandbox port: how a child that handles untrusted media is held in.

`RlimitSandbox` is the adapter that works everywhere on Linux; a bubblewrap
adapter implements the same Protocol.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from distconv.media import confine


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a child may use; None leaves the system's own limit.

    `file_size_bytes` bounds every regular file it writes (pipes are free);
    `open_files` its descriptors; `memory_bytes` its address space (an encoder
    maps far more than it uses: leave None for ffmpeg); `cpu_time_s` its
    processor time.
    """

    file_size_bytes: int | None = None
    open_files: int | None = 256
    memory_bytes: int | None = None
    cpu_time_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confined:
    """A command as it is really started."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str = "/"


class Sandbox(Protocol):
    """Say how to start a command so that it is held in.

    A child has to die with the process that starts it, and to get nothing of
    that process's environment. It must be started from a thread that lives as
    long as it (the loop's own): the kernel ties a child to the thread.
    """

    def confine(
        self,
        argv: Sequence[str],
        *,
        limits: Limits,
        readable: Sequence[Path] = (),
        writable: Sequence[Path] = (),
    ) -> Confined:
        """Return the command that runs `argv` within `limits`.

        `argv[0]` is an absolute path. `readable` and `writable` are the files
        and folders that it needs beside system libraries and its descriptors.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RlimitSandbox:
    """Hold a child in by rlimits, no-new-privileges and a minimal environment.

    It cannot keep a child from reading files or opening sockets: for that
    ffmpeg's own whitelists have to do.
    """

    extra_env: Mapping[str, str] = field(default_factory=dict)

    def confine(
        self,
        argv: Sequence[str],
        *,
        limits: Limits,
        readable: Sequence[Path] = (),  # noqa: ARG002 - rlimits know no paths
        writable: Sequence[Path] = (),  # noqa: ARG002
    ) -> Confined:
        """Return the command that runs `argv` within `limits`."""
        shim = (sys.executable, "-I", "-S", confine.__file__, str(os.getpid()), _render(limits))
        return Confined(argv=(*shim, *argv), env={**minimal_environment(), **self.extra_env})


def minimal_environment() -> dict[str, str]:
    """Return the environment of a child: nothing of ours, UTF-8, no home."""
    return {
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": "/nonexistent",
        "SVT_LOG": "1",  # SVT-AV1 heeds no -loglevel: errors only
    }


def _render(limits: Limits) -> str:
    values = {
        "core": 0,
        "fsize": limits.file_size_bytes,
        "nofile": limits.open_files,
        "as": limits.memory_bytes,
        "cpu": limits.cpu_time_s,
    }
    return ",".join(f"{name}={value}" for name, value in values.items() if value is not None)
