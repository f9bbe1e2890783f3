"""Learn from attempts that succeeded how fast their engines are."""

from datetime import timedelta

from distconv.core.speeds import height_class, observed, smoothed
from distconv.core.task_states import TaskKind
from distconv.core.work import PIXELS_PER_UNIT
from distconv.dispatch.changes.change import Change
from distconv.dispatch.placement.matching import codec_of
from distconv.dispatch.store.records import AttemptRecord, SpeedRecord, TaskRecord

# How speeds are kept of work that encodes no video.
NO_CODEC = "none"


async def observe(
    change: Change,
    task: TaskRecord,
    attempt: AttemptRecord,
    *,
    build_id: str,
    source_wait: timedelta,
) -> None:
    """Let an attempt that succeeded count in the history of its engine's speed.

    The time that it waited for its source to be uploaded does not count. Too
    short a one says nothing of it. Rates are kept in pixels of H.264 "fast" a
    second, so that profiles and presets can be compared.
    """
    if task.kind is not TaskKind.TRANSCODE or attempt.end_time is None:
        return
    elapsed: timedelta = attempt.end_time - (attempt.start_time or attempt.create_time)
    rate = observed(task.cost, elapsed - max(source_wait, timedelta(0)))
    if rate is None:
        return
    codec = codec_of(task.requirement)
    key = {
        "engine_id": attempt.engine_id,
        "codec": NO_CODEC if codec is None else codec.value,
        "build_id": build_id,
    }
    of_class = height_class(task.height)
    known = await change.tx.get_speed(height_class=of_class, **key)
    count = 0 if known is None else known.sample_count
    average = 0.0 if known is None else known.pixel_rate
    speed = SpeedRecord(
        height_class=of_class,
        pixel_rate=smoothed(average, count, rate * PIXELS_PER_UNIT),
        sample_count=count + 1,
        update_time=change.now,
        **key,
    )
    await change.tx.put_speed(speed)
    change.effects.speeds.append(speed)
