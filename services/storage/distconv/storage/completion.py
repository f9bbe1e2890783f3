"""What completing an upload takes: check it, finish it, say what object it becomes.

Nothing here makes anything visible; `Uploads` commits what was prepared.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from distconv.core.clock import Clock
from distconv.core.errors import (
    DataLossError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    UnavailableError,
)
from distconv.core.profile import Container
from distconv.storage.blocks import Blocks, BlockSums
from distconv.storage.finish import Finisher
from distconv.storage.names import new_nonce
from distconv.storage.providers.port import Provider, Published
from distconv.storage.records import Finished, ObjectRecord
from distconv.storage.threads import Threads
from distconv.storage.upload import Upload

# Status details travel in headers of 8 KiB: so many ranges fit; GetUpload tells all.
_MISSING_SHOWN = 20
_HASH_STEP_BYTES = 64 * 1024 * 1024


def check_size(upload: Upload, size_bytes: int) -> None:
    """Raise unless exactly the bytes up to `size_bytes` have arrived."""
    declared, written = upload.record.size_bytes, upload.staging.written
    if declared and size_bytes != declared:
        raise InvalidArgumentError(
            f"{upload.id.name} was opened with {declared} bytes and is completed with "
            f"{size_bytes}; abort it, and upload again with the right size",
            field="size_bytes",
        )
    if written.end > size_bytes:
        raise InvalidArgumentError(
            f"{upload.id.name} is completed with {size_bytes} bytes, but bytes up to "
            f"{written.end} have arrived; complete it with the size of what was sent",
            field="size_bytes",
        )
    missing = list(written.gaps(0, size_bytes))
    if missing:
        shown = ",".join(f"{start}-{end - 1}" for start, end in missing[:_MISSING_SHOWN])
        raise FailedPreconditionError(
            f"{sum(end - start for start, end in missing)} of {size_bytes} bytes of "
            f"{upload.id.name} are missing; send them, then complete it",
            metadata={"missing": shown + (",…" if len(missing) > _MISSING_SHOWN else "")},
        )


def _require_unspoiled(upload: Upload) -> None:
    """Raise when a segment was put again, with another length, after it was acknowledged."""
    for start, end in upload.staging.spoiled:
        raise DataLossError(
            f"bytes {start} to {end - 1} of {upload.id.name} were overwritten with more or fewer "
            "after they had arrived: what is there is not what was sent; upload it again"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An object that is ready: its record, and how to publish its content."""

    record: ObjectRecord
    publish: Callable[[], Awaitable[Published]]


class Completion:
    """Check and finish uploads; so many are finished at once, the others wait."""

    def __init__(
        self,
        *,
        provider: Provider,
        finisher: Finisher,
        finish_concurrency: int,
        threads: Threads,
        clock: Clock,
    ) -> None:
        self._provider = provider
        self._finisher = finisher
        self._finish_turns = asyncio.Semaphore(finish_concurrency)
        self._threads = threads
        self._clock = clock

    @asynccontextmanager
    async def prepared(
        self, upload: Upload, *, size_bytes: int, sha256: str
    ) -> AsyncIterator[Prepared]:
        """Prepare a sealed upload; what was prepared is gone when the context ends.

        Raises DataLossError when the digest does not match, QuotaExceededError when
        several processes took more of it together than there is room for, and what
        finishing raises; the upload is as it was then.
        """
        _require_unspoiled(upload)
        await upload.cover(size_bytes)
        container = upload.record.container
        if container is None:
            await self._check_digest(upload, size_bytes, sha256)
            blocks = await self._threads.run(upload.digest.blocks)
            record = self._record(upload, size_bytes, sha256, blocks=blocks)
            key = upload.place.data_key(record.version)
            publish = partial(self._publish, upload, key, size_bytes, sha256)
            yield Prepared(record=record, publish=publish)
            return
        async with self._finish_turns, self._provider.scratch() as folder:
            yield await self._finish(upload, folder, container, (size_bytes, sha256))

    async def _publish(self, upload: Upload, key: str, size_bytes: int, sha256: str) -> Published:
        published = await upload.staging.publish(key, size_bytes)
        if published.sha256 not in (None, sha256):
            await self._check_again(upload, size_bytes, sha256)
        return published

    async def _check_again(self, upload: Upload, size_bytes: int, sha256: str) -> None:
        """Hash what lies there, not what came: others may have put other bytes since."""
        upload.digest.reset()
        await self._check_digest(upload, size_bytes, sha256)

    async def _check_digest(self, upload: Upload, size_bytes: int, sha256: str) -> None:
        staging, digest = upload.staging, upload.digest
        await digest.catch_up(staging.written, staging.read, limit_bytes=size_bytes)
        if digest.frontier != size_bytes:
            raise InternalError(
                f"{upload.id.name} could not be read back to its end; send CompleteUpload again"
            )
        if digest.hexdigest() != sha256:
            raise DataLossError(
                f"the {size_bytes} bytes of {upload.id.name} have the SHA-256 "
                f"{digest.hexdigest()} instead of {sha256}: what arrived is not what was sent; "
                "upload it again",
                metadata={"sha256": digest.hexdigest()},
            )

    async def _finish(
        self, upload: Upload, folder: Path, container: Container, received: tuple[int, str]
    ) -> Prepared:
        target = folder / f"finished.{container.value}"
        source = await self._checked_path(upload, folder, *received)
        finished = await self._finisher.finish(source, target, container)
        size_bytes, target_sha256, blocks = await self._hash_file(target)
        record = self._record(
            upload,
            size_bytes,
            target_sha256,
            blocks=blocks,
            finished=finished,
            received=received,
        )
        publish = partial(self._provider.adopt, target, upload.place.data_key(record.version))
        return Prepared(record=record, publish=publish)

    async def _checked_path(
        self, upload: Upload, folder: Path, size_bytes: int, sha256: str
    ) -> Path:
        """Return a file of what arrived, compared with the digest while it is read but once.

        A file that is made is compared as it is made. Only one that differs takes
        another look: have the bytes changed on their way from where they lie, or before?
        """
        hashed = upload.digest.frontier == size_bytes
        if hashed or not upload.staging.copies:
            await self._check_digest(upload, size_bytes, sha256)
        try:
            return await upload.staging.path(folder, sha256=sha256)
        except UnavailableError:
            await self._check_again(upload, size_bytes, sha256)
            raise

    async def _hash_file(self, path: Path) -> tuple[int, str, Blocks]:
        size_bytes = (await self._threads.run(path.stat)).st_size
        digest, sums = hashlib.sha256(), BlockSums(size_bytes)

        def look(data: bytes) -> None:
            digest.update(data)
            sums.update(data)

        for at in range(0, size_bytes, _HASH_STEP_BYTES):
            await self._threads.run(_hash_part, look, path, at)
        return size_bytes, digest.hexdigest(), sums.result()

    def _record(
        self,
        upload: Upload,
        size_bytes: int,
        sha256: str,
        *,
        blocks: Blocks,
        finished: Finished | None = None,
        received: tuple[int, str] | None = None,
    ) -> ObjectRecord:
        received_size_bytes, received_sha256 = received or (size_bytes, sha256)
        return ObjectRecord(
            object_id=upload.record.object_id,
            tenant=upload.record.tenant,
            nonce=upload.record.nonce,
            size_bytes=size_bytes,
            sha256=sha256,
            received_size_bytes=received_size_bytes,
            received_sha256=received_sha256,
            create_time=upload.record.create_time,
            commit_time=self._clock.now(),
            finished=finished,
            description=upload.record.description,
            pool=upload.record.pool,
            version=new_nonce(upload.record.pool),
            blocks=blocks,
        )


def _hash_part(update: Callable[[bytes], None], path: Path, offset: int) -> None:
    with path.open("rb") as file:
        file.seek(offset)
        left = _HASH_STEP_BYTES
        while left and (data := file.read(min(1 << 20, left))):
            update(data)
            left -= len(data)
