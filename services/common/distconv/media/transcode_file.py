"""Transcode a source that lies in a file: for containers whose reader has to seek."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from distconv.core.errors import CorruptSourceError, DistconvError
from distconv.core.media import MediaInfo
from distconv.core.verify import ProblemKind, require_output, require_source
from distconv.media.ffmpeg import FfmpegBuild
from distconv.media.finish import trailer
from distconv.media.layout import LayoutKind
from distconv.media.outcome import TranscodeOutcome, carried, encode_failure, shown_notes
from distconv.media.plan.values import TranscodePlan
from distconv.media.ports import FileSink
from distconv.media.probe.prober import WarmProber
from distconv.media.probe.session import Counted
from distconv.media.process import Report, RunLimits, RunResult, first_error, run_process
from distconv.media.sandbox import Sandbox

# What ffmpeg wrote for a pipe says of its streams' ends less than the finished file does, of
# which all is asked.
_FINISHED_ALONE = frozenset({ProblemKind.END_DIFFERS})


async def transcode_file(
    source: Path,
    sink: FileSink,
    *,
    plan: TranscodePlan,
    info: MediaInfo,
    build: FfmpegBuild,
    sandbox: Sandbox,
    prober: WarmProber,
    limits: RunLimits,
    on_progress: Report | None = None,
    on_start: Callable[[int], None] | None = None,
) -> TranscodeOutcome:
    """Run ffmpeg on the file `source`, which nobody may change, into `sink`.

    A child counts the file meanwhile; where the output lies in a file it is
    counted and compared before anything of it leaves. The sink's last bytes
    describe what finishing has to add. Whatever is raised, every child is gone.
    Raises CorruptSourceError, EncodeFailedError, StalledError,
    VerificationError, and whatever the sink raises.
    """
    output_bytes = 0

    async def take(data: memoryview) -> None:
        nonlocal output_bytes
        output_bytes += len(data)
        await sink.write(data)

    try:
        async with asyncio.TaskGroup() as group:
            counting = group.create_task(prober.count_source(source, info.container))
            result = await run_process(
                lambda fd: plan.file_argv(build.path, fd, source),
                sandbox=sandbox,
                limits=limits,
                readable=(source,),
                take=take,
                on_progress=on_progress,
                on_start=on_start,
            )
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None
    counted = counting.result()
    if result.exit_code != 0:
        raise _failure(info, counted, result)
    census = counted.census
    require_source(info, census, expected_bytes=info.size_bytes)
    written = await sink.file()
    if written is not None:
        made = await prober.census_file(written)
        require_output(census, made, plan.expected, passing_over=_FINISHED_ALONE)
    finish, notes = carried(plan, counted.pictures)
    end = trailer(finish)
    await sink.write(end)
    return TranscodeOutcome(
        run=result,
        layout=LayoutKind.FILE,
        layout_reason=info.pipe_obstacle or "it was transferred as a file",
        source_census=census,
        source_sha256=None,
        frame_count=result.last_progress.frame if result.last_progress else 0,
        output_bytes=output_bytes + len(end),
        notes=(*plan.notes, *notes, *shown_notes(plan, census)),
    )


def _failure(info: MediaInfo, counted: Counted, result: RunResult) -> DistconvError:
    """Say why ffmpeg failed: for a source that is cut short, that and not its symptom."""
    try:
        require_source(info, counted.census, expected_bytes=info.size_bytes)
    except CorruptSourceError as error:
        return error
    return encode_failure(result)
