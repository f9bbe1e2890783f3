"""Turn a claim into the message that gives the work to its engine."""

from datetime import timedelta

from distconv.core.task_states import TaskKind
from distconv.core.transfer import TransferMode, scratch_needed
from distconv.dispatch.lifecycle.leasing import Claim
from distconv.dispatch.objects.access import MediaMint
from distconv.dispatch.sessions.hub import SessionHub, ref_of
from distconv.dispatch.sessions.messages import Assignment, ProbeWork, TranscodeWork
from distconv.rpc.tokens import MediaAction


class Assigning:
    """Send assignments, with signed access to the media that they need."""

    def __init__(self, *, hub: SessionHub, mint: MediaMint, stall_timeout: timedelta) -> None:
        self._hub = hub
        self._mint = mint
        self._stall_timeout = stall_timeout

    def send(self, claim: Claim) -> bool:
        """Queue the assignment of a claim; False when its engine is not connected here now."""
        attempt = claim.attempt
        session = self._hub.get(attempt.engine_id)
        if session is None or attempt.lease_expire_time is None:
            return False
        session.hold(attempt, claim.job)
        sent = session.send(
            Assignment(
                ref=ref_of(attempt),
                fencing_token=attempt.fencing_token,
                lease_expire_time=attempt.lease_expire_time,
                work=self._work(claim),
            )
        )
        if not sent:
            session.drop(attempt.id)
        return sent

    def _work(self, claim: Claim) -> ProbeWork | TranscodeWork:
        job, attempt = claim.job, claim.attempt
        source = self._mint.sign(
            tenant=job.tenant,
            subject=attempt.id,
            object_id=job.source_object_id,
            action=MediaAction.READ,
        )
        if claim.task.kind is TaskKind.PROBE or job.source_media is None:
            return ProbeWork(source=source, size_bytes=job.source_size_bytes)
        sink = self._mint.sign(
            tenant=job.tenant,
            subject=attempt.id,
            object_id=attempt.object_id,
            action=MediaAction.WRITE,
            profile=job.profile_name,
        )
        by_file = attempt.transfer_mode == TransferMode.FILE
        return TranscodeWork(
            source=source,
            media=job.source_media,
            sink=sink,
            profile=job.profile,
            stall_timeout=self._stall_timeout,
            transfer_mode=TransferMode.FILE if by_file else TransferMode.STREAMING,
            scratch_bytes=scratch_needed(job.source_size_bytes) if by_file else 0,
        )
