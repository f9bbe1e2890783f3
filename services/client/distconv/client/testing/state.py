"""What the fake server holds, and how it is told to misbehave."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from distconv.core.ids import new_id
from distconv.core.names import object_name
from distconv.core.ranges import RangeSet
from distconv.rpc.convert.object import byte_ranges
from distconv.rpc.convert.times import timestamp
from distconv.v1 import engine_pb2, job_pb2, media_pb2, object_pb2


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


@dataclass(kw_only=True)
class Faults:
    """Breaks to come. Each list is used up from the front, one number per stream.

    `cut_writes` and `cut_reads` are bytes after which a stream is cut,
    `cut_watches` snapshots. `damage` flips bits in so many chunks on their way
    down. Of every object no more than `stored_bytes` are left, though it is described
    as it was. `refuse_tokens` refuses so many calls to storage as unauthenticated.
    `full_after` is how many bytes of uploads storage has room for.
    """

    cut_writes: list[int] = field(default_factory=list)
    cut_reads: list[int] = field(default_factory=list)
    cut_watches: list[int] = field(default_factory=list)
    damage: int = 0
    stored_bytes: int | None = None
    refuse_tokens: int = 0
    full_after: int | None = None

    @staticmethod
    def next(cuts: list[int]) -> int | None:
        """Take the next number; None when there is none left."""
        return cuts.pop(0) if cuts else None


@dataclass(kw_only=True)
class FakeUpload:
    """An upload under way."""

    name: str
    object: str
    data: bytearray
    received: RangeSet = field(default_factory=RangeSet)
    sent_bytes: int = 0  # with what was sent twice
    longest_chunk_bytes: int = 0
    aborted: bool = False

    def message(self) -> object_pb2.Upload:
        """Describe it."""
        return object_pb2.Upload(
            name=self.name,
            object=self.object,
            state=object_pb2.UPLOAD_STATE_ABORTED if self.aborted else object_pb2.UPLOAD_STATE_OPEN,
            size_bytes=len(self.data),
            received=byte_ranges(self.received),
        )


class FakeState:
    """The tables of the fake server."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.objects: dict[str, bytes] = {}
        # What their owners call those that were uploaded.
        self.called: dict[str, object_pb2.Object] = {}
        self.uploads: dict[str, FakeUpload] = {}
        # The sizes of chunks that readers named, in their order.
        self.named_chunks: list[int] = []
        self.jobs: dict[str, job_pb2.Job] = {}
        self.request_ids: dict[str, str] = {}
        self.engines: list[engine_pb2.Engine] = []
        self.encode: Callable[[bytes], bytes] = lambda source: source[: len(source) // 2]
        self.held = False
        self.wait_reason = "no engine is connected"
        self._changed = asyncio.Condition()

    async def changed(self, job: job_pb2.Job, etag: str) -> None:
        """Wait until the job is another than the one with `etag`."""
        async with self._changed:
            await self._changed.wait_for(lambda: job.etag != etag)

    async def move(self, name: str, state: job_pb2.JobState.ValueType, **fields: object) -> None:
        """Put a job in a state, set fields of it, and tell those who watch."""
        async with self._changed:
            job = self.jobs[name]
            job.MergeFrom(job_pb2.Job(state=state, **fields))  # type: ignore[arg-type]
            job.etag = str(int(job.etag or "0") + 1)
            job.update_time.CopyFrom(timestamp(now()) or job.update_time)
            if state != job_pb2.JOB_STATE_PENDING:
                job.wait_reason = ""
            self._changed.notify_all()

    async def run(self, name: str) -> None:
        """Take a job to its end as an engine would, once its source is there."""
        job = self.jobs[name]
        async with self._changed:
            await self._changed.wait_for(
                lambda: job.source.object in self.objects or self._is_aborted(job.source.object)
            )
        if job.source.object not in self.objects:
            failure = job_pb2.Failure(reason="UPLOAD_FAILED", message="the upload was given up")
            await self.move(name, job_pb2.JOB_STATE_FAILED, error=failure)
            return
        source = self.objects[job.source.object]
        await self.move(name, job_pb2.JOB_STATE_ASSIGNED, engine="engines/fake")
        for tenth in range(1, 11):
            progress = job_pb2.JobProgress(
                fraction=tenth / 10, frame_count=30 * tenth, fps=120.0, speed=4.0
            )
            progress.eta.FromSeconds(10 - tenth)
            await self.move(name, job_pb2.JOB_STATE_TRANSCODING, progress=progress)
        await self.move(name, job_pb2.JOB_STATE_COMPLETED, output=self.publish(source))

    async def uploaded(self) -> None:
        """Tell those who wait for an upload that one has ended."""
        async with self._changed:
            self._changed.notify_all()

    def size_of(self, name: str) -> int:
        """Return the size of an object, stored or being uploaded. Raises StopIteration."""
        if name in self.objects:
            return len(self.objects[name])
        return next(len(u.data) for u in self.uploads.values() if u.object == name)

    def _is_aborted(self, name: str) -> bool:
        return any(u.aborted for u in self.uploads.values() if u.object == name)

    def publish(self, source: bytes) -> job_pb2.JobOutput:
        """Store what the encoder makes of `source` and describe it."""
        data = self.encode(source)
        name = self.store(data)
        return job_pb2.JobOutput(
            object=name,
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            media=media_pb2.MediaInfo(
                container="mov",
                size_bytes=len(data),
                duration_s=10.0,
                streams=[
                    media_pb2.StreamInfo(
                        kind=media_pb2.STREAM_KIND_VIDEO,
                        codec="h264",
                        width=1280,
                        height=720,
                        frame_rate="30/1",
                    ),
                    media_pb2.StreamInfo(
                        index=1,
                        kind=media_pb2.STREAM_KIND_AUDIO,
                        codec="aac",
                        sample_rate=48_000,
                        channels=2,
                        channel_layout="stereo",
                        language="eng",
                    ),
                ],
            ),
            notes=[
                job_pb2.ReportNote(
                    severity=job_pb2.NOTE_SEVERITY_LOST,
                    stream_index=3,
                    message="the attached font is not in the output: mp4 holds none",
                )
            ],
        )

    def store(self, data: bytes) -> str:
        """Store an object and return its name."""
        name = object_name(new_id(now()))
        self.objects[name] = data
        return name
