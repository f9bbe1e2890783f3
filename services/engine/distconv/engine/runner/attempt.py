"""Do one attempt: probe a source, or encode it from storage to storage and check what came out."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from distconv.core.attempt import Outcome, Probed, Transcoded
from distconv.core.clock import SystemClock
from distconv.core.descriptions import JOB_LABEL
from distconv.core.names import bare, parse_attempt
from distconv.core.transfer import TransferMode
from distconv.engine.runner.config import RunnerConfig
from distconv.engine.runner.intact import damage_told
from distconv.engine.runner.sources import opened
from distconv.engine.runner.teller import Say, Teller
from distconv.engine.runner.ways import Way, by_file, streamed
from distconv.engine.scratch import attempt_folder
from distconv.engine.sink import StorageSink
from distconv.engine.storage_link import StorageLink
from distconv.engine.transcoder import find_transcoder
from distconv.engine.work import Assignment, MediaGrant, ProbeWork, TranscodeWork
from distconv.media.pipe_obstacle import pipe_obstacle
from distconv.media.probe.prober import WarmProber
from distconv.media.sandbox import RlimitSandbox


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
            async with (
                self._link(work.source) as link,
                damage_told(link),
                opened(link, work.size_bytes, self._config) as source,
            ):
                media = await self._prober.probe(source)
                obstacle = await pipe_obstacle(source, media.container)
                return Probed(media=replace(media, pipe_obstacle=obstacle))
        return await self._transcode(assignment, work)

    async def _transcode(self, assignment: Assignment, work: TranscodeWork) -> Transcoded:
        plan = self._transcoder.plan(work.profile, work.media)
        teller = Teller(self._say, assignment, work.media.duration_s, self._config, self._clock)
        async with (
            self._link(work.source) as source_link,
            self._link(work.sink) as sink_link,
            damage_told(source_link),
            opened(source_link, work.media.size_bytes, self._config) as source,
        ):
            sink = StorageSink(
                sink_link,
                window_bytes=self._config.upload_window_bytes,
                labels={JOB_LABEL: parse_attempt(assignment.attempt).job},
                direct=self._config.direct_writes,
            )
            way = Way(
                plan=plan,
                source=source,
                sink=sink,
                prober=self._prober,
                teller=teller,
                stall_timeout_s=work.stall_timeout.total_seconds(),
                read_ahead_bytes=self._config.read_ahead_bytes,
            )
            try:
                if work.transfer_mode is TransferMode.FILE:
                    folder = attempt_folder(Path(self._config.scratch_folder), assignment.attempt)
                    encoded = await by_file(way, folder, room_bytes=work.scratch_bytes)
                else:
                    encoded = await streamed(way)
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
