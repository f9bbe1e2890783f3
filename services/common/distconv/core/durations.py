"""Lengths of time as people say them, the same everywhere. Pure."""

from datetime import timedelta


def span(length: timedelta) -> str:
    """Say how long: `under a second`, `4.2 s`, `42 s`, `38 min`, `3.2 h`, `2.5 days`."""
    seconds = length.total_seconds()
    if seconds < 1:
        return "under a second"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    if seconds < 119.5 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 47.95 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} days"


def about(length: timedelta) -> str:
    """Say an estimate of how long: `about 38 min`, but `under a second`."""
    return span(length) if length < timedelta(seconds=1) else f"about {span(length)}"
