"""Find an ffmpeg and read what it can do."""

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from distconv.core.errors import DistconvError, EncodeFailedError, MissingEncoderError
from distconv.media.process import RunLimits, first_error, run_process
from distconv.media.sandbox import RlimitSandbox, Sandbox

# A line of `-encoders`, `-muxers`, …: flags, then the name ("mov,mp4,m4a" for several).
_ROW = re.compile(r"^ ([A-Z.]{2,6}|[DE. ]{2,3}d?) +(\S+) +\S", re.ASCII)
_OPTION = re.compile(r"^-(\w+)(?:\[|\s|$)", re.ASCII)
_VERSION = re.compile(r"^ffmpeg version (\S+)", re.ASCII | re.MULTILINE)
_RELEASE = re.compile(r"n?(\d+)\.(\d+)", re.ASCII)
_READ_TIMEOUT_S = 20.0
_QUESTIONS = {
    "version": ("-version",),
    "encoders": ("-encoders",),
    "decoders": ("-decoders",),
    "muxers": ("-muxers",),
    "demuxers": ("-demuxers",),
    "options": ("-h", "long"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FfmpegBuild:
    """An ffmpeg and what it can do, as it says itself.

    `build_id` is the SHA-256 of its version output, which names its version,
    its compiler, its configuration and its libraries: two builds with the same
    id give the same bytes for the same task. `release` is (0, 0) for a build
    from between releases.
    """

    path: Path
    version: str
    release: tuple[int, int]
    build_id: str
    configuration: str
    encoders: frozenset[str]
    decoders: frozenset[str]
    muxers: frozenset[str]
    demuxers: frozenset[str]
    options: frozenset[str]

    def to_plain(self) -> dict[str, object]:
        """Return it as JSON can hold it."""
        names = ("encoders", "decoders", "muxers", "demuxers", "options")
        return {
            **{name: sorted(getattr(self, name)) for name in names},
            "path": str(self.path),
            "version": self.version,
            "release": list(self.release),
            "build_id": self.build_id,
            "configuration": self.configuration,
        }

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Self:
        """Make it again of what `to_plain` returned."""
        return cls(
            path=Path(raw["path"]),
            version=str(raw["version"]),
            release=(int(raw["release"][0]), int(raw["release"][1])),
            build_id=str(raw["build_id"]),
            configuration=str(raw["configuration"]),
            encoders=frozenset(raw["encoders"]),
            decoders=frozenset(raw["decoders"]),
            muxers=frozenset(raw["muxers"]),
            demuxers=frozenset(raw["demuxers"]),
            options=frozenset(raw["options"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What an ffmpeg must have."""

    encoders: frozenset[str] = frozenset()
    muxers: frozenset[str] = frozenset()
    options: frozenset[str] = frozenset()

    def missing(self, build: FfmpegBuild) -> tuple[str, ...]:
        """Return what a build lacks, in words."""
        pairs = (
            ("encoder", self.encoders - build.encoders),
            ("muxer", self.muxers - build.muxers),
            ("option", self.options - build.options),
        )
        return tuple(f"{what} {name}" for what, names in pairs for name in sorted(names))


# What the shipped profiles need. `-fps_mode` came with 5.1.
SHIPPED_NEEDS = Needs(
    encoders=frozenset(
        ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "aac", "libopus", "mov_text", "webvtt"]
    ),
    muxers=frozenset(["mp4", "matroska", "webm"]),
    options=frozenset(["fps_mode", "progress", "map_chapters", "enc_time_base"]),
)


async def locate_ffmpeg(
    configured: Path | None = None,
    *,
    needs: Needs = SHIPPED_NEEDS,
    search_path: str | None = None,
    sandbox: Sandbox | None = None,
) -> FfmpegBuild:
    """Find an ffmpeg that has `needs` and read what it can do.

    The configured one, which must do; else the one on `search_path` (default:
    $PATH) if it does; else the one of the imageio-ffmpeg wheel. Raises
    MissingEncoderError, which says what was tried and what each lacks.
    """
    sandbox = sandbox or RlimitSandbox()
    tried: list[str] = []
    for path in _candidates(configured, search_path):
        try:
            build = await read_build(path, sandbox=sandbox)
        except DistconvError as error:
            tried.append(f"{path}: {error.message}")
            continue
        lacks = needs.missing(build)
        if not lacks:
            return build
        tried.append(f"{path} lacks {', '.join(lacks)}")
    hint = "" if configured else "; install distconv[media], or configure a path"
    raise MissingEncoderError(f"no fit ffmpeg: {'; '.join(tried) or 'none was found'}{hint}")


def _candidates(configured: Path | None, search_path: str | None) -> Iterator[Path]:
    if configured is not None:
        yield configured.absolute()
        return
    found = shutil.which("ffmpeg", path=search_path)
    if found is not None:
        yield Path(os.path.realpath(found))
    bundled = bundled_ffmpeg()
    if bundled is not None:
        yield bundled


def bundled_ffmpeg() -> Path | None:
    """Return the ffmpeg that the imageio-ffmpeg wheel carries; None without the wheel."""
    try:
        from imageio_ffmpeg import binaries  # noqa: PLC0415 - an optional dependency
    except ImportError:
        return None
    folder = Path(next(iter(binaries.__path__)))
    return next(iter(sorted(folder.glob("ffmpeg-*"))), None)


async def read_build(path: Path, *, sandbox: Sandbox) -> FfmpegBuild:
    """Run an ffmpeg a few times (about 15 ms each) and read what it can do.

    Raises EncodeFailedError when it does not run.
    """
    try:
        async with asyncio.timeout(_READ_TIMEOUT_S), asyncio.TaskGroup() as group:
            asked = {
                what: group.create_task(_ask(path, args, sandbox))
                for what, args in _QUESTIONS.items()
            }
    except TimeoutError as error:
        raise EncodeFailedError(f"{path} does not answer", argv=(str(path),)) from error
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None
    return parse_build(path, {what: task.result() for what, task in asked.items()})


def parse_build(path: Path, told: dict[str, str]) -> FfmpegBuild:
    """Make a FfmpegBuild of an ffmpeg's own answers."""
    text = told["version"]
    version = match[1] if (match := _VERSION.search(text)) else "unknown"
    release = _RELEASE.match(version)
    lines = text.splitlines()
    return FfmpegBuild(
        path=path,
        version=version,
        release=(int(release[1]), int(release[2])) if release else (0, 0),
        build_id=hashlib.sha256(text.encode()).hexdigest(),
        configuration=next((x[15:] for x in lines if x.startswith("configuration: ")), ""),
        encoders=parse_table(told["encoders"]),
        decoders=parse_table(told["decoders"]),
        muxers=parse_table(told["muxers"]),
        demuxers=parse_table(told["demuxers"]),
        options=frozenset(
            m[1] for line in told["options"].splitlines() if (m := _OPTION.match(line))
        ),
    )


def parse_table(text: str) -> frozenset[str]:
    """Return the names in a table of ffmpeg's (`-encoders`, `-muxers`, …)."""
    _, _, rows = text.partition(" --")  # the legend stands above a line of dashes
    matches = (_ROW.match(row) for row in rows.splitlines())
    return frozenset(name for m in matches if m for name in m[2].split(","))


async def _ask(path: Path, args: tuple[str, ...], sandbox: Sandbox) -> str:
    out = bytearray()

    async def keep(data: memoryview) -> None:
        out.extend(data)

    argv = (str(path), "-hide_banner", *args)
    if args == ("-version",):
        argv = (str(path), *args)
    result = await run_process(
        lambda _: argv, sandbox=sandbox, limits=RunLimits(stall_timeout_s=10), take=keep
    )
    if result.exit_code != 0:
        raise EncodeFailedError(
            f"'{' '.join(argv)}' ended with code {result.exit_code}",
            argv=result.argv,
            exit_code=result.exit_code,
            stderr_tail=result.stderr_tail,
        )
    return out.decode("utf-8", "replace")
