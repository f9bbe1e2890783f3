"""Verify a transcode's result before it is published: what engines say is never taken on trust."""

from collections.abc import Callable

from distconv.core.attempt import Transcoded
from distconv.core.errors import DamagedObjectError, VerificationError
from distconv.core.names import object_name
from distconv.dispatch.objects.port import Objects
from distconv.dispatch.objects.sources import Sources
from distconv.dispatch.store.records import AttemptRecord, JobRecord

# Raises VerificationError when a result's counts do not fit its source and profile.
CheckCounts = Callable[[JobRecord, Transcoded], None]


class Verifier:
    """Check a result against what was asked, and against what storage holds."""

    def __init__(self, objects: Objects, sources: Sources, check_counts: CheckCounts) -> None:
        self._objects = objects
        self._sources = sources
        self._check_counts = check_counts

    async def verify(self, job: JobRecord, attempt: AttemptRecord, result: Transcoded) -> None:
        """Return when the result may be published.

        Raises VerificationError when it may not, DamagedObjectError when the source is
        damaged, and UnavailableError when storage cannot be asked: then nothing is
        known, and the engine is to tell again.
        """
        if result.object_id != attempt.object_id:
            raise VerificationError(
                f"the engine wrote objects/{result.object_id} "
                f"where objects/{attempt.object_id} was asked for"
            )
        if result.size_bytes <= 0:
            raise VerificationError("the output is empty")
        self._check_counts(job, result)
        if not await self._sources.is_committed(job.tenant, job.source_object_id):
            # It was read while it was uploaded, and nobody knows yet whether it was whole.
            raise VerificationError(
                f"the source {object_name(job.source_object_id)} is not wholly uploaded: "
                "what was made of it is not published"
            )
        try:
            stored = await self._objects.stat(attempt.tenant, attempt.object_id)
        except DamagedObjectError as error:  # an output can be made again
            raise VerificationError(error.message) from error
        if stored is None or not stored.committed:
            raise VerificationError(
                f"the engine says that objects/{attempt.object_id} is done, but storage has "
                f"{'no such object' if stored is None else 'not all of it'}"
            )
        if (stored.size_bytes, stored.sha256) != (result.size_bytes, result.sha256):
            raise VerificationError(
                f"{object_name(attempt.object_id)} at storage has {stored.size_bytes} bytes and "
                f"digest {stored.sha256[:12]}…, the engine says {result.size_bytes} and "
                f"{result.sha256[:12]}…"
            )
