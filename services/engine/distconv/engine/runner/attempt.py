"""Do one attempt: probe a source, or encode it from storage to storage and check what came out."""

import contextlib
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

import structlog

from distconv.core.attempt import AttemptPhase, Outcome, Probed, Transcoded
from distconv.core.clock import SystemClock
from distconv.core.errors import DataLossError
from distconv.core.names import bare
from distconv.core.progress import JobProgress
from distconv.engine.progress_meter import ProgressMeter
from distconv.engine.runner.config import RunnerConfig
from distconv.engine.sink import StorageSink
from distconv.engine.source import StorageSource
from distconv.engine.storage_link import StorageLink
from distconv.engine.transcoder import Encoded, EncodeReport, find_transcoder
from distconv.engine.work import (
    Assignment,
    AttemptReport,
    AttemptResult,
    LogLines,
    MediaGrant,
    ProbeWork,
    TranscodeWork,
)
from distconv.media.probe.prober import WarmProber
from distconv.media.sandbox import RlimitSandbox

_log = structlog.get_logger()

Say = Callable[[AttemptReport | AttemptResult | LogLines], None]


class AttemptRunner:
    """Do one attempt. A context manager: entering it starts what takes long to start."""

    def __init__(self, config: RunnerConfig, say: Say) -> None:
        self._config = config
        self._say = say
        self._transcoder = find_transcoder(config.transcoder).restore(config.transcoder_state)
        self._prober = WarmProber(RlimitSandbox(), warm=1, keep_warm=False)
        self._clock = SystemClock()

    async def __aenter__(self) -> Self:
        await self._prober.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self._prober.__aexit__(kind, error, tb)

    async def run(self, assignment: Assignment) -> Outcome:
        """Do it; cancelling the task ends every child. Raises the tree's errors."""
        work = assignment.work
        if isinstance(work, ProbeWork):
            async with self._link(work.source) as link, _source(link, work.size_bytes) as source:
                return Probed(media=await self._prober.probe(source))
        return await self._transcode(assignment, work)

    async def _transcode(self, assignment: Assignment, work: TranscodeWork) -> Transcoded:
        plan = self._transcoder.plan(work.profile, work.media)
        teller = _Teller(self._say, assignment, work.media.duration_s, self._config, self._clock)
        async with (
            self._link(work.source) as source_link,
            self._link(work.sink) as sink_link,
            _source(source_link, work.media.size_bytes) as source,
        ):
            sink = StorageSink(sink_link, window_bytes=self._config.upload_window_bytes)
            try:
                await sink.open(plan.container)
                encoded = await plan.run(
                    source,
                    sink,
                    prober=self._prober,
                    stall_timeout_s=work.stall_timeout.total_seconds(),
                    read_ahead_bytes=self._config.read_ahead_bytes,
                    on_report=lambda report: teller.encoding(report, sink.written_bytes),
                )
                _check_source(encoded, await source.settle())
                teller.finishing()
                committed = await sink.complete()
            except BaseException:
                await sink.abort()
                raise
        plan.verify(encoded, committed.census)
        return Transcoded(
            object_id=bare(committed.object_name, "objects"),
            size_bytes=committed.size_bytes,
            sha256=committed.sha256,
            source_census=encoded.source_census,
            output_census=committed.census,
            media=committed.media,
            notes=encoded.notes,
            frame_count=encoded.frame_count,
            argv=encoded.argv,
            source_wait=source.waited,
        )

    @contextlib.asynccontextmanager
    async def _link(self, grant: MediaGrant) -> AsyncIterator[StorageLink]:
        tls_ca = self._config.tls_ca
        link = StorageLink(
            grant,
            patience_s=self._config.media_patience_s,
            tls_ca=None if tls_ca is None else tls_ca.encode(),
        )
        try:
            yield link
        finally:
            await link.close()


@contextlib.asynccontextmanager
async def _source(link: StorageLink, size_bytes: int) -> AsyncIterator[StorageSource]:
    source = StorageSource(link, size_bytes)
    try:
        yield source
    finally:
        await source.close()


def _check_source(encoded: Encoded, sha256: str) -> None:
    """Raise DataLossError when what was fed is not what was committed."""
    if encoded.source_sha256 is not None and encoded.source_sha256 != sha256:
        raise DataLossError(
            f"what was fed has the SHA-256 {encoded.source_sha256[:12]}…, the source as it was "
            f"committed {sha256[:12]}…; encode it again"
        )


class _Teller:
    """Tell how the attempt goes: at once when its phase changes, progress not too often."""

    def __init__(
        self,
        say: Say,
        assignment: Assignment,
        duration_s: float | None,
        config: RunnerConfig,
        clock: SystemClock,
    ) -> None:
        self._say = say
        self._assignment = assignment
        self._interval_s = config.progress_interval_s
        self._clock = clock
        self._meter = ProgressMeter(duration_s=duration_s, clock=clock)
        self._progress = JobProgress()
        self._told = float("-inf")

    def encoding(self, report: EncodeReport, written_bytes: int) -> None:
        """Note a report of the encoder's."""
        self._progress = self._meter.measure(
            frame_count=report.frame_count,
            out_time_s=report.out_time_s,
            read_bytes=report.read_bytes,
            written_bytes=written_bytes,
        )
        now = self._clock.monotonic()
        if now - self._told >= self._interval_s:
            self._told = now
            self._tell(AttemptPhase.ENCODING)

    def finishing(self) -> None:
        """Note that the encoder is through."""
        self._tell(AttemptPhase.FINISHING)

    def _tell(self, phase: AttemptPhase) -> None:
        self._say(
            AttemptReport(
                attempt=self._assignment.attempt,
                fencing_token=self._assignment.fencing_token,
                phase=phase,
                progress=self._progress,
            )
        )
