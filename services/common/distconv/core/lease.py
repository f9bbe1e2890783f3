"""Leases: who may speak for a task, and until when. Pure.

A lease is a fencing token, which grows with every attempt at a task, and an
expiry, which heartbeats push on. The token is what protects: a result counts
only while its attempt is live and carries the present token. The expiry only
says from when on the lease may be taken away, so a result that comes after the
expiry but before anyone took the lease is still good.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A fencing token and the instant from which on it may be taken away."""

    fencing_token: int
    expire_time: datetime

    def is_expired(self, now: datetime) -> bool:
        """Tell whether the lease may be taken away."""
        return now >= self.expire_time


def grant(*, last_token: int, now: datetime, duration: timedelta) -> Lease:
    """Make the lease of the next attempt at a task whose last token was `last_token` (0: none)."""
    return Lease(fencing_token=last_token + 1, expire_time=now + duration)


def renew(lease: Lease, *, now: datetime, duration: timedelta) -> Lease:
    """Push the expiry on; never back, whatever the clock did."""
    return Lease(
        fencing_token=lease.fencing_token, expire_time=max(lease.expire_time, now + duration)
    )
